"""What always stands before a face is in the artefact, apart from what comes and goes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mouth_toys import facing_track
from occlusion_toys import open_toy

from metatalk.config import Config
from metatalk.errors import StaleArtefactError
from metatalk.stages import occlusion
from metatalk.stages.footage import Footage
from metatalk.stages.keeping import keep_filmed, keep_known
from metatalk.stages.occlusion import STANDING, load_standing, open_hidden, open_standing
from metatalk.stages.stage import silent_progress
from metatalk.workspace.actor import ActorFolder

FRAMES = 48
SHIFTS = np.rint(8 * np.sin(0.7 * np.arange(FRAMES))).astype(int)
MOUTH = (slice(100, 200), slice(136, 184))  # most of the lips
HALF = (slice(60, 180), slice(100, 156))  # of what is seen of the head
CHEEK = (slice(130, 200), slice(122, 142))


class Frame:
    """A textured head that moves before a still background, behind a bar."""

    width, height = 320, 240

    def __init__(self, index: int, bar: tuple[slice, slice] | None) -> None:
        self.index = index
        layers = []
        for seed in (3, 4):
            noise = np.random.default_rng(seed).normal(size=(self.height, self.width, 3))
            soft = cv2.GaussianBlur(noise, (0, 0), 3.0)
            layers.append(0.45 + 0.12 * soft / soft.std())
        head = np.zeros((self.height, self.width), np.uint8)
        cv2.circle(head, (160 + int(SHIFTS[index]), 120), 60, (255,), -1)
        moved = np.roll(layers[1], int(SHIFTS[index]), 1)
        picture = np.where(head[..., None] > 0, moved, layers[0])
        if bar is not None:
            picture[bar] = 0.08
        self._picture = (picture.clip(0, 1) * 255).astype(np.uint8)

    def rgb(self, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
        left, top, right, bottom = box or (0, 0, self.width, self.height)
        return self._picture[top:bottom, left:right]


@pytest.fixture
def actor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ActorFolder, Footage]:
    """A toy actor whose head moves, and the training clip taken apart."""
    track = facing_track(torch.zeros(FRAMES))
    translation = track.translation.clone()
    translation[:, 0] = torch.from_numpy(SHIFTS * 700.0 / 480.0)
    return open_toy(tmp_path, FRAMES, monkeypatch, replace(track, translation=translation))


def show(monkeypatch: pytest.MonkeyPatch, bar: tuple[slice, slice] | None) -> None:
    monkeypatch.setattr(
        occlusion, "read_pictures", lambda _: (Frame(index, bar) for index in range(FRAMES))
    )


def test_a_bar_beside_the_mouth_stays_and_keeps_no_frame(
    actor: tuple[ActorFolder, Footage],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    show(monkeypatch, CHEEK)
    folder, footage = actor
    with caplog.at_level("WARNING"):
        kept = keep_filmed(folder, footage, Config(), frozenset(), silent_progress)
    assert "covered" not in {one.kind for one in kept.fallbacks}
    assert (kept.strength == 1).all()
    assert "stands before the face" in caplog.text
    for standing in (kept.standing, keep_known(folder, footage, Config()).standing):
        assert standing is not None
        share = standing.film_share(3, 0, 0, 320, 240)
        assert share[135:150, 124:140].mean() > 0.95
        assert share[100:150, 150:].max() == 0
    off = replace(Config().drive.fallback, standing=False)
    config = replace(Config(), drive=replace(Config().drive, fallback=off))
    assert keep_known(folder, footage, config).standing is None


def test_a_bar_before_all_of_the_mouth_keeps_it_filmed(
    actor: tuple[ActorFolder, Footage], monkeypatch: pytest.MonkeyPatch
) -> None:
    show(monkeypatch, MOUTH)
    kept = keep_filmed(*actor, Config(), frozenset(), silent_progress)
    assert any("of the lips" in one.words for one in kept.fallbacks)
    assert (kept.strength == 0).mean() > 0.5


def test_what_is_behind_a_bar_is_not_turned_away(
    actor: tuple[ActorFolder, Footage], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = 28  # most frames are bare: they are the usual ones
    shots = np.array([[0, cut], [cut, FRAMES]])
    marks = replace(actor[1].landmarks, shots=shots)
    monkeypatch.setattr(occlusion, "load_landmarks", lambda _: marks)
    frames = [Frame(index, HALF if index >= cut else None) for index in range(FRAMES)]
    monkeypatch.setattr(occlusion, "read_pictures", lambda _: iter(frames))
    footage = replace(actor[1], landmarks=marks)
    kept = keep_filmed(actor[0], footage, Config(), frozenset(), silent_progress)
    standing = open_standing(actor[0], footage)
    assert [standing.stands_in(frame) for frame in (0, cut)] == [False, True]
    seen = open_hidden(actor[0], footage, Config()).seen_share
    assert np.median(seen[cut:]) == pytest.approx(np.median(seen[:cut]), abs=0.05)
    assert not [one.words for one in kept.fallbacks if "faces the camera" in one.words]


def test_a_damaged_mask_stops_a_drive(
    actor: tuple[ActorFolder, Footage], monkeypatch: pytest.MonkeyPatch
) -> None:
    show(monkeypatch, CHEEK)
    keep_filmed(*actor, Config(), frozenset(), silent_progress)
    (path,) = actor[0].root.rglob(STANDING)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StaleArtefactError, match="--rerun occlusion"):
        keep_filmed(*actor, Config(), frozenset(), silent_progress)
    assert keep_known(*actor, Config()).standing is None  # a show goes on
    off = replace(Config().drive.fallback, standing=False)
    config = replace(Config(), drive=replace(Config().drive, fallback=off))
    keep_filmed(*actor, config, frozenset(), silent_progress)


def test_nothing_stands_before_a_bare_face(
    actor: tuple[ActorFolder, Footage],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    show(monkeypatch, None)
    with caplog.at_level("WARNING"):
        kept = keep_filmed(*actor, Config(), frozenset(), silent_progress)
    assert kept.standing is keep_known(*actor, Config()).standing is None
    assert "stands before" not in caplog.text


def test_a_damaged_file_says_how_to_mend_it(tmp_path: Path) -> None:
    (tmp_path / STANDING).write_bytes(b"no archive")
    with pytest.raises(StaleArtefactError, match="--rerun occlusion"):
        load_standing(tmp_path / STANDING)
    np.savez(tmp_path / STANDING, shots=np.zeros((1, 2)))
    with pytest.raises(StaleArtefactError, match="--rerun occlusion"):
        load_standing(tmp_path / STANDING)
