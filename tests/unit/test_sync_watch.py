"""A judge beside the observer: pictures pass unchanged, and its verdict becomes a reason."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch

from metatalk.errors import MediaError
from metatalk.lipsync.checkpoints import CheckpointRecord
from metatalk.lipsync.config import GateConfig
from metatalk.lipsync.judge import Judge
from metatalk.lipsync.syncnet import ColourExpert
from metatalk.lipsync.teachers import Scene
from metatalk.stages.sync_watch import SyncWatch

FRAMES = 55


@dataclass(frozen=True)
class Figures:
    offset_frames: int
    confidence: float


@pytest.fixture
def scene() -> Scene:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (FRAMES, 60, 50, 3), np.uint8)
    boxes = np.tile(np.float32([5, 5, 45, 55]), (FRAMES, 1))
    samples = rng.normal(0, 0.1, FRAMES * 640).astype(np.float32)
    order, references = np.arange(FRAMES), np.zeros(FRAMES, np.int64)
    return Scene(pictures, boxes, references, order, Fraction(25), samples)


@pytest.fixture
def judge() -> Judge:
    torch.manual_seed(0)
    record = CheckpointRecord("lip-sync expert", "e.safetensors", "", "made up", False)
    return Judge("expert", ColourExpert().eval().requires_grad_(False), record, ours=True)


def watched(judge: Judge, scene: Scene) -> SyncWatch:
    watch = SyncWatch(judge, scene)
    passed = list(watch.look_on(iter(scene.pictures)))
    np.testing.assert_array_equal(np.stack(passed), scene.pictures)
    return watch


def test_a_real_judge_takes_the_faces_as_they_are_kept(judge: Judge, scene: Scene) -> None:
    watch = watched(judge, scene)
    assert {face.shape for face in watch.faces} == {(96, 96, 3)}
    strict = GateConfig(max_offset=100, min_confidence=1e6)
    assert watch.reason(strict) == "the judge is not confident"
    assert watch.reason(GateConfig(max_offset=100, min_confidence=-1e6)) == ""


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        (Figures(1, 2.0), ""),
        (Figures(-5, 2.0), "the judge finds it out of sync"),
        (Figures(0, 0.1), "the judge is not confident"),
    ],
)
def test_a_verdict_becomes_a_reason(
    judge: Judge, scene: Scene, monkeypatch: pytest.MonkeyPatch, figures: Figures, told: str
) -> None:
    monkeypatch.setattr("metatalk.stages.sync_watch.sync_of_faces", lambda *_: figures)
    assert watched(judge, scene).reason(GateConfig()) == told


def test_a_sentence_too_short_for_the_judge_is_let_pass(
    judge: Judge, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Figures:
        raise MediaError("under two seconds")

    monkeypatch.setattr("metatalk.stages.sync_watch.sync_of_faces", refuse)
    assert watched(judge, scene).reason(GateConfig()) == ""
