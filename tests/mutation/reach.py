"""Which test calls which function of memcirc, and how long it takes: a pytest plugin that writes this down."""

import json
import sys
import time
from collections.abc import Generator
from pathlib import Path
from types import FrameType

import pytest

from tests.mutation.mutants import ROOT


class Reach:
    """Functions as ``path:first line``; what a fixture calls counts for every test that asks for it."""

    def __init__(self, path: Path) -> None:
        self.path, self.inside = path, str(ROOT / "memcirc")
        self.called: set[str] = set()
        self.fixtures: dict[str, tuple[set[str], float]] = {}
        self.tests: dict[str, dict[str, object]] = {}

    def trace(self, frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if code.co_filename.startswith(self.inside):
            self.called.add(f"{code.co_filename}:{code.co_firstlineno}")

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
        outside, self.called = self.called, set()
        began = time.perf_counter()
        try:
            return (yield)
        finally:
            seconds = time.perf_counter() - began
            self.fixtures[fixturedef.argname] = (self.called, seconds if fixturedef.scope == "session" else 0.0)
            self.called = outside | self.called

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Function) -> Generator[None, object, object]:
        self.called = set()
        sys.settrace(self.trace)  # type: ignore[arg-type]
        try:
            return (yield)
        finally:
            sys.settrace(None)
            held = [self.fixtures[name] for name in item.fixturenames if name in self.fixtures]
            called = self.called.union(*(functions for functions, _ in held))
            seconds = sum(seconds for _, seconds in held)
            self.tests.setdefault(item.nodeid, {}).update(functions=sorted(called), fixtures=seconds)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            about = self.tests.setdefault(report.nodeid, {})
            about.update(seconds=report.duration, passed=report.passed)

    def pytest_sessionfinish(self) -> None:
        self.path.write_text(json.dumps(self.tests), encoding="utf-8")
