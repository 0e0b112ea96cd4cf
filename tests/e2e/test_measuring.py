"""What `tools/measure_drive.py` looks at is what a drive writes, and its table is whole."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from metatalk.config import load_config
from metatalk.media.picture import Picture
from metatalk.stages.drive import stream_drive
from metatalk.stages.drive_order import DriveOrder
from metatalk.stages.drive_preparation import prepare_drive

TOOL = Path(__file__).resolve().parents[2] / "tools" / "measure_drive.py"


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("measure_drive", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["measure_drive"] = module
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules["measure_drive"]


@pytest.fixture
def rows(
    tool: ModuleType, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, list[str]]]:
    """Run the tool; gives the rows of its table."""

    def call(*words: object) -> dict[str, list[str]]:
        capsys.readouterr()
        assert tool.main([str(word) for word in words]) == 0
        lines = capsys.readouterr().out.strip().splitlines()
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        return {name: values for name, *values in cells}

    return call


class Kept:
    """A writer that keeps what it is given."""

    def __init__(self) -> None:
        self.pictures: list[Picture] = []

    def write(self, picture: Picture, pts: int) -> None:
        self.pictures.append(picture)


def test_what_is_measured_is_what_is_driven(
    tool: ModuleType, actor: Path, recording: Path, tmp_path: Path
) -> None:
    order = DriveOrder(actor, tmp_path / "result.mp4", recording)
    config = load_config(words=["drive.batch=1"])
    drive = prepare_drive(order, config, tmp_path).part(5, 13)
    driven = Kept()
    stream_drive(drive, driven)
    measured = list(tool.watch_drive(drive))
    assert len(measured) == len(driven.pictures) == 8
    changed = 0
    for wanted, (before, made) in zip(driven.pictures, measured, strict=True):
        for plane, same in zip(wanted.planes, made.picture.planes, strict=True):
            np.testing.assert_array_equal(plane, same)
        mask = tool.covered(made.patches, before.height, before.width)
        changed += int((before.planes[0] != wanted.planes[0]).sum())
        assert not (before.planes[0] != wanted.planes[0])[~mask].any()
    assert changed > 1000


def test_two_runs_are_told_side_by_side(
    rows: Callable[..., dict[str, list[str]]], actor: Path, clip: Path
) -> None:
    words = (actor, clip, "--own", "--frames", 6, "--chins", 4)
    table = rows(*words, "--compare", "drive.detail=0", "drive.batch=2")
    assert table[""] == ["drive.batch=2", "drive.detail=0"]
    assert table["frames with a new mouth"] == ["6", "6"]
    assert table["flicker of still skin"][0].endswith("pairs)")
    sharp, soft = (float(cell) for cell in table["definition at the rim"])
    assert soft < sharp  # nothing fine is carried from the footage
    assert all(15 < float(cell) < 60 for cell in table["PSNR, dB"])
    assert table["frames that keep the filmed mouth"] == ["0 of 75"] * 2
    chins = [name for name in table if name.startswith("chin")]
    assert len(chins) == 4
    for name in chins:
        assert all(cell == "none" or float(cell.split()[0]) >= 0 for cell in table[name])
    assert not any("-" in cells for cells in table.values())


def test_only_what_is_asked_for_is_measured(
    rows: Callable[..., dict[str, list[str]]], actor: Path, recording: Path
) -> None:
    table = rows(actor, recording, "--frames", 0, "--chins", 0)
    assert table[""] == ["default"]
    assert not any("chin" in name or "rim" in name or "PSNR" in name for name in table)
    assert table["frames that keep the filmed mouth"] == ["0 of 50"]
