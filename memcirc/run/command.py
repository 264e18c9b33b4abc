"""One command on a run directory: its stages, its configuration, its line in the manifest."""

from dataclasses import asdict
from pathlib import Path

from memcirc.run import manifest
from memcirc.run.config import CONFIG_FILE, RunConfig
from memcirc.run.pipeline import Pipeline

STAGES = ("windows", "score", "pairs", "discover", "verify", "report")


def run_stages(run_dir: Path, config: RunConfig, force: bool, argv: list[str], last_stage: str) -> None:
    """Run everything up to a stage. The stored configuration changes only when all stages accept it."""
    assert last_stage in STAGES
    pipeline = Pipeline(run_dir, config, force)
    try:
        if last_stage == "windows":
            pipeline.windows()
        elif last_stage == "score":
            pipeline.score()
        elif last_stage == "report":
            page = pipeline.everything()
            print(page)
        else:
            for task in config.model.tasks:
                getattr(pipeline, last_stage)(task)
    except BaseException:
        if pipeline.seconds and not (run_dir / CONFIG_FILE).exists():
            config.save(run_dir)
        raise
    config.save(run_dir)
    manifest.record(run_dir, argv, asdict(config), config.model.device, pipeline.seconds)
