"""One sweep on a file of pairs, to a table, results and a page."""

from dataclasses import asdict
from pathlib import Path

from memcirc.models import Model, load_model
from memcirc.pairs.file import load_pairs
from memcirc.pairs.record import Pairs
from memcirc.patching.result import Sweep
from memcirc.patching.sweep import patch_sweep
from memcirc.studies.stages import write_results, write_table
from memcirc.studies.sweep.config import SweepConfig
from memcirc.studies.sweep.page import write_sweep_page
from memcirc.studies.sweep.places import Swept
from memcirc.work.progress import say


def run_sweep(run_dir: Path, config: SweepConfig, force: bool, progress: bool) -> Path:
    """Sweep the pairs of a file and return the page's path; nothing is trained, so ``force`` changes nothing."""
    model = load_model(config.model_name, device=config.device)
    source = load_model(config.source_model, device=config.device) if config.source_model else None
    pairs = load_pairs(config.path, model, config.bos)
    sweep = swept(model, source, pairs, config, progress)
    statement = {**model.statement(), "pairs": pairs.fingerprint, **asdict(config)}
    write_table(run_dir / "sweep" / "patches.parquet", sweep.table)
    results = {
        "axes": sweep.axes,
        "effects": sweep.matrix(config.metric),
        "n": sweep.arranged(sweep.counts(config.metric)),
        "ends": sweep.ends,
        "notes": sweep.notes,
        "self_patch": sweep.self_patch,
    }
    write_results(run_dir / "sweep" / "results.json", results | {"statement": statement})
    return write_sweep_page(run_dir / "report", Swept(model, pairs, sweep, config), statement)


def swept(model: Model, source: Model | None, pairs: Pairs, config: SweepConfig, progress: bool) -> Sweep:
    """The sweep that a configuration asks for.

    Raises:
        ValueError: a pair of equal prompts of one model; and what :func:`memcirc.patching.sweep.patch_sweep` refuses.
    """
    for i, pair in enumerate(pairs):
        if source is None and pair.clean_ids == pair.corrupt_ids:
            raise ValueError(f"pair {i}: clean and corrupt prompts coincide, so there is nothing to patch")
    are_hooks = "." in config.sites or config.sites.startswith("hook_")
    say(f"sweep of {len(pairs)} pairs: {config.sites}")
    return patch_sweep(
        model, pairs, sites=config.sites.split(",") if are_hooks else config.sites, direction=config.direction,
        metrics=config.metric, source_model=source, normalize=config.normalize, progress=progress,
    )  # fmt: skip
