"""The table of where the time goes: every stage is there, and nothing is counted twice."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "benchmark_drive.py"


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("benchmark_drive", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["benchmark_drive"] = module
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules["benchmark_drive"]


def test_every_part_is_where_the_tool_looks_for_it(tool: ModuleType) -> None:
    for name, place, attribute in tool.PARTS:
        assert callable(getattr(place, attribute)), name


def test_a_stage_within_a_stage_counts_for_itself(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 3.0, 10.0, 20.0, 21.0])
    monkeypatch.setattr(time, "process_time", lambda: next(clock))
    meter = tool.Meter()
    inner = meter.wrap("inner", lambda number: number + 1)
    outer = meter.wrap("outer", lambda: inner(1))
    assert outer() == 2  # 0 to 10 in all, 1 to 3 of it within
    assert inner(number=5) == 6
    assert dict(meter.spent) == {"inner": 3.0, "outer": 8.0}


def test_time_is_counted_where_a_stage_fails(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 2.0])
    monkeypatch.setattr(time, "process_time", lambda: next(clock))
    meter = tool.Meter()
    with pytest.raises(ZeroDivisionError):
        meter.wrap("fails", lambda: 1 / 0)()
    assert dict(meter.spent) == {"fails": 2.0}
