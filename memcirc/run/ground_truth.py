"""Edge scores against circuits that are known: the compiled programs of :mod:`memcirc.interop.tracr`, every method
under resample and, with the programs' other circuit, under zero ablation."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from memcirc.artifacts import write_json
from memcirc.interop.tracr import PROGRAMS, Program, compile_program
from memcirc.verification.ground_truth import METHODS, Known, recover

OBJECTIVES = {"reverse": "logit_diff", "xproportion": "answer_logit"}


def ensure_ground_truth(run_dir: Path, seed: int, force: bool = False) -> Path:
    """``RUN/presets/ground_truth.json``, made where it is not there yet; the report shows it.

    Raises:
        ValueError: the programs cannot be compiled here.
    """
    path = run_dir / "presets" / "ground_truth.json"
    if force or not path.is_file():
        write_json(path, {"preset": "ground_truth", "rows": ground_truth_rows(seed)})
    return path


def ground_truth_rows(seed: int = 0) -> list[dict[str, Any]]:
    """A row for each program, ablation and method, with its evaluation card.

    Raises:
        ValueError: the programs cannot be compiled here.
    """
    rows = []
    for name in tqdm(PROGRAMS, desc="ground truth", disable=None, leave=False):
        program = compile_program(name, seed)
        for ablation, method in [(a, m) for a in ("resample", "zero") for m in METHODS]:
            if ablation == "resample" or method != "eap-ig-inputs":
                rows.append(_row(program, ablation, method, seed))
    return rows


def _row(program: Program, ablation: str, method: str, seed: int) -> dict[str, Any]:
    circuit = program.circuit if ablation == "resample" else program.zero_circuit
    objective = OBJECTIVES[program.name]
    known = Known(program.name, program.model, program.pairs, circuit)
    found = recover(known, method, objective, ablation, seed)
    card = {
        "model": program.model.name,
        "revision": None,
        "dtype": program.model.dtype_name,
        "bos": True,
        "split": "all sequences",
        "data": f"{len(program.pairs)} pairs ({program.pairs.fingerprint})",
        "selection": "by abs",
        "averaging": "mean over pairs of absolute scores",
        "seed": seed,
    }
    return {**card, **asdict(found)}
