"""A miniature of the embedded default, made once for all tests."""

from pathlib import Path

import pytest

from memcirc.demo import Demo, DemoConfig, ensure

TINY = DemoConfig(
    families=8,
    copy_patterns=((4, 2, 1), (3, 3, 2)),
    background=80,
    branch_support=0,
    vocabulary=320,
    layers=2,
    width=16,
    heads=2,
    window=8,
    steps=6,
    batch_size=8,
    threads=1,
)


@pytest.fixture(scope="session")
def tiny() -> DemoConfig:
    return TINY


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    cache: Path = tmp_path_factory.mktemp("cache")
    return ensure(cache, progress=False, config=TINY)
