"""A caption below the chin is in a clip's artefact; one over the mouth keeps that filmed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mouth_toys import facing_track
from occlusion_toys import open_toy

from metatalk.compose.fallback.captions import CaptionSearch
from metatalk.config import Config
from metatalk.stages import occlusion
from metatalk.stages.footage import Footage
from metatalk.stages.keeping import keep_filmed
from metatalk.stages.occlusion import STANDING, open_hidden, open_standing
from metatalk.stages.stage import silent_progress
from metatalk.workspace.actor import ActorFolder

FRAMES, SHOWN = 130, range(60, 95)


class Frame:
    """A head of noise before a wall; a box with a word lies at some height in some frames."""

    width, height = 320, 240

    def __init__(self, index: int, top: int) -> None:
        self.index = index
        noise = np.random.default_rng(0).uniform(90, 160, (self.height, self.width, 3))
        self._picture = (noise + 3 * np.sin(index)).astype(np.uint8)
        if index in SHOWN:
            cv2.rectangle(self._picture, (125, top), (195, top + 14), (20,) * 3, -1)
            font = cv2.FONT_HERSHEY_SIMPLEX
            cv2.putText(self._picture, "so this is", (128, top + 11), font, 0.4, (250,) * 3, 1)

    def rgb(self, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
        left, top, right, bottom = box or (0, 0, self.width, self.height)
        return self._picture[top:bottom, left:right]


@pytest.fixture
def actor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ActorFolder, Footage]:
    """A toy actor whose head is still, and the training clip taken apart."""
    return open_toy(tmp_path, FRAMES, monkeypatch, facing_track(torch.zeros(FRAMES)))


def show(monkeypatch: pytest.MonkeyPatch, top: int) -> None:
    monkeypatch.setattr(
        occlusion, "read_pictures", lambda _: (Frame(index, top) for index in range(FRAMES))
    )


def test_one_below_the_chin_stays_beside_a_new_mouth(
    actor: tuple[ActorFolder, Footage],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    show(monkeypatch, 164)
    with caplog.at_level("WARNING"):
        kept = keep_filmed(*actor, Config(), frozenset(), silent_progress)
    assert (kept.strength == 1).all()
    assert "or a caption at it: it stays as filmed" in caplog.text
    (made,) = actor[0].root.rglob(STANDING)
    record = ActorFolder(made.parent.parent).manifest("occlusion")
    assert record is not None
    assert record.metrics["caption_parts"] == 2  # with it, and after it
    found = open_standing(*actor)
    assert [t for t in range(FRAMES) if found.stands_in(t)] == list(SHOWN)
    share = found.film_share(70, 125, 164, 70, 14)
    assert share is not None
    assert share.mean() > 0.95
    mouth = found.film_share(70, 130, 110, 60, 40)
    assert mouth is None or not mouth.any()


def test_where_shots_begin_is_told(
    actor: tuple[ActorFolder, Footage], monkeypatch: pytest.MonkeyPatch
) -> None:
    show(monkeypatch, 164)
    marks = replace(actor[1].landmarks, shots=np.array([[0, 50], [50, FRAMES]]))
    monkeypatch.setattr(occlusion, "load_landmarks", lambda _: marks)
    look, told = CaptionSearch.look, []

    def spy(self: CaptionSearch, *given: Any) -> None:
        told.append(given[3])
        look(self, *given)

    monkeypatch.setattr(CaptionSearch, "look", spy)
    open_hidden(*actor, Config())
    assert np.flatnonzero(told).tolist() == [0, 50]


def test_one_over_the_mouth_keeps_it_filmed(
    actor: tuple[ActorFolder, Footage], monkeypatch: pytest.MonkeyPatch
) -> None:
    show(monkeypatch, 132)
    kept = keep_filmed(*actor, Config(), frozenset(), silent_progress)
    assert (kept.strength[SHOWN.start : SHOWN.stop] == 0).all()
