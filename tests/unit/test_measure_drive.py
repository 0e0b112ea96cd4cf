"""The table of what can be seen of a driven mouth: what is looked at, and how it is put."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from face_toys import CAMERA, toy_model, toy_track

from metatalk.compose.blend import Patch
from metatalk.compose.retiming.plan import FramePlan
from metatalk.compose.revoice import Performance
from metatalk.evaluate.chin import jaw_profiles, usual_profiles
from metatalk.morphable.coefficients import PersonCoefficients
from metatalk.render.scene import Scene

TOOL = Path(__file__).resolve().parents[2] / "tools" / "measure_drive.py"
FRAMES, SIZE = 6, 96


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


def toy_drive(strength: list[float], jaw: list[float], first: int = 0) -> SimpleNamespace:
    """A drive of a toy head, as far as it is looked at."""
    track = toy_track(FRAMES)
    scene = Scene(toy_model(), PersonCoefficients(torch.zeros(3), torch.zeros(6)), CAMERA, SIZE)
    shots = np.array([[0, FRAMES]])
    transforms = scene.transforms(track, scene.measure_layout(track, 0.2), 0.0, shots)
    expression = track.expression + torch.tensor(jaw)[:, None] * scene.model.open_mouth
    shown = np.array(strength, np.float32)
    performance = Performance(np.arange(FRAMES), track, transforms, expression, shown)
    return SimpleNamespace(
        studio=SimpleNamespace(scene=scene), performance=performance, first=first, strength=shown
    )


def test_frames_are_counted_by_their_new_mouths(tool: ModuleType) -> None:
    strength = np.array([0, 0.5, 1, 1, 0, 1, 1], np.float32)
    assert tool.first_frames(strength, 1) == 3
    assert tool.first_frames(strength, 3) == 6
    assert tool.first_frames(strength, 9) == 7


def test_neighbours_were_filmed_beside_each_other(tool: ModuleType) -> None:
    frames = np.array([3, 4, 4, 3, 7, 8, 9, 10, 9])
    plan = FramePlan(frames, np.arange(len(frames)), Fraction(1, 25))
    follows = tool.neighbours(plan, np.array([[0, 9], [9, 20]]))  # a cut between 8 and 9
    assert follows.tolist() == [False, True, True, True, False, True, False, True, True]


def test_patches_cover_what_they_change(tool: ModuleType) -> None:
    alpha = np.zeros((3, 4), np.float32)
    alpha[1, 2:] = 0.25, 1e-6
    patch = Patch(np.zeros((3, 4, 3), np.float32), alpha, 5, 2)
    mask = tool.covered([patch], 10, 12)
    assert np.argwhere(mask).tolist() == [[3, 7], [3, 8]]
    assert not tool.covered([], 10, 12).any()


def test_what_is_looked_at_lies_on_the_filmed_lower_face(tool: ModuleType) -> None:
    drive = toy_drive([1.0] * FRAMES, [0.0] * FRAMES, first=2)
    mask = tool.reachable(drive, 1, CAMERA.height, CAMERA.width)
    assert mask.shape == (CAMERA.height, CAMERA.width)
    rows, columns = np.nonzero(mask)
    low = drive.studio.scene.anchors(drive.performance.filmed.take([3]))[0]
    middle = (low.min(0) + low.max(0)) / 2
    assert columns.mean() == pytest.approx(middle[0], abs=6)
    assert rows.mean() == pytest.approx(middle[1], abs=12)
    assert not np.array_equal(mask, tool.reachable(drive, 0, CAMERA.height, CAMERA.width))


def test_jaws_furthest_from_the_filmed_ones_are_chosen(tool: ModuleType) -> None:
    drive = toy_drive([1, 1, 0.5, 1, 1, 1], [0.1, -0.6, 5.0, 0.9, -0.2, 0.3])
    assert tool.jaws_apart(drive, 2).tolist() == [1, 3]
    assert tool.jaws_apart(drive, 4).tolist() == [1, 3, 4, 5]
    assert 2 not in tool.jaws_apart(drive, 12)  # no whole new mouth


def test_a_face_is_as_high_as_its_landmarks(tool: ModuleType) -> None:
    scene = toy_drive([1.0] * FRAMES, [0.0] * FRAMES).studio.scene
    height = tool.face_height(scene)
    assert 80 < height <= 120  # of a sheet of 120 mm


def test_the_jaw_line_lies_below_the_lower_face(tool: ModuleType) -> None:
    drive = toy_drive([1.0] * FRAMES, [0.0] * FRAMES)
    scene, track = drive.studio.scene, drive.performance.filmed.take([2])
    transforms = drive.performance.transforms[2:3]
    line, face_px = tool.chin_of(scene, track, transforms)
    low = scene.points(track, transforms)[0, scene.model.regions["lower_face"]]
    assert np.nanmax(line.points[:, 1]) == pytest.approx(low[:, 1].max(), abs=2)
    twice = transforms * 2
    _, larger_px = tool.chin_of(scene, track, twice)
    assert larger_px == pytest.approx(2 * face_px, rel=1e-4)


def test_chins_are_told_in_millimetres_and_of_the_face(tool: ModuleType) -> None:
    """A chin painted two pixels too low is told to be there."""
    drive = toy_drive([1.0] * FRAMES, [0.0] * FRAMES)
    scene, track = drive.studio.scene, drive.performance.filmed.take([2])
    line, face_px = tool.chin_of(scene, track, drive.performance.transforms[2:3])
    rows = np.arange(SIZE)[:, None, None] + 0.5
    chin = float(np.nanmax(line.points[:, 1]))

    def painted(down_px: float) -> np.ndarray:
        bright = 200 / (1 + np.exp(rows - chin - down_px)) + 30
        return np.broadcast_to(bright, (SIZE, SIZE, 3)).astype(np.uint8).copy()

    usual = usual_profiles([jaw_profiles(painted(0.0), line, face_px)])
    chins = tool._Chins(tool.Reference(usual, 120.0))
    assert chins.cell() == "none"
    chins.add(painted(0.0), line, face_px)
    assert float(chins.cell().split()[0]) < 0.1
    lower = tool._Chins(tool.Reference(usual, 120.0))
    lower.add(painted(2.0), line, face_px)
    told, share = (float(word.strip("()")) for word in lower.cell().split())
    assert told == pytest.approx(2.0 * 120 / face_px, rel=0.3)
    assert share == pytest.approx(100 * told / 120, abs=0.01)


def test_a_table_has_a_column_a_run(tool: ModuleType) -> None:
    text = tool.table({"default": {"a": "1", "b": "2"}, "drive.x=3": {"a": "4", "c": "5"}})
    assert text.splitlines() == [
        "|  | default | drive.x=3 |",
        "| --- | ---: | ---: |",
        "| a | 1 | 4 |",
        "| b | 2 | - |",
        "| c | - | 5 |",
    ]


def test_a_wrong_setting_is_told(tool: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main(["nobody", "words.wav", "drive.seam.levels=99"]) == 2
    assert "drive.seam.levels is 99" in capsys.readouterr().err
