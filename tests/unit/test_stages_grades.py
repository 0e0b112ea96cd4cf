"""The grades artefact: a clip's colours measured once, and told against the actor's crops."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mouth_folders import fill_actor, leave
from mouth_toys import mouth_model
from read_only_toys import refuse_writing

from metatalk.compose.grade_config import GradeConfig
from metatalk.compose.grade_transfer import PQ, SDR
from metatalk.config import Config
from metatalk.errors import StaleArtefactError
from metatalk.render.crops import warp_to_crop
from metatalk.stages import grades
from metatalk.stages.footage import Footage, read_footage
from metatalk.stages.grades import FILE, GRADES, load_colours, open_grades, read_transfer
from metatalk.workspace.actor import ActorFolder
from metatalk.workspace.footage import remember_footage

FRAMES, PX = 24, 64
FLAT = 110, 0.35  # what black becomes, and how much contrast is left


class Frame:
    """The toy's face, textured over all of the frame, in some grade."""

    width, height = 320, 240

    def __init__(self, flat: bool) -> None:
        down, across = np.mgrid[0:240, 0:320]
        texture = 110 + 60 * np.sin(across / 9) * np.cos(down / 7)
        redder = 15 * np.sin(across / 5)
        pixels = np.stack([texture + 40 + redder, texture, texture - 30], -1)
        if flat:
            pixels = FLAT[0] + FLAT[1] * pixels
        self.pixels = pixels.clip(0, 255).astype(np.uint8)

    def rgb(self, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
        left, top, right, bottom = box or (0, 0, self.width, self.height)
        return self.pixels[top:bottom, left:right]


class Bench:
    """An actor and another clip of theirs, which is not there: what is read of it is made up."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads: list[Sequence[int]] = []
        self.flat = False
        fill_actor(root / "actor", PX, FRAMES)
        self.folder = ActorFolder(root / "actor")
        self._film_crops()
        training, clip, card = root / "own.mp4", root / "clip.mp4", root / "model.json"
        for path in (training, clip, card):
            path.write_text(f'"{path.name}"')
        remember_footage(self.folder.root, training)
        fill_actor(root / "apart", PX, FRAMES)
        self.own = read_footage(self.folder.root, training)
        self.clip: Footage = read_footage(root / "apart", clip)
        monkeypatch.setattr(grades, "open_face_model", lambda *_: mouth_model())
        monkeypatch.setattr("metatalk.stages.footage.face_model_card", lambda *_: card)
        monkeypatch.setattr(grades, "read_pictures_in_order", self._read)

    def _film_crops(self) -> None:
        """The training crops show what the plain clip shows."""
        render = self.folder.path("render")
        with np.load(render / "frames.npz") as stored:
            transforms = stored["transforms"]
        crops = np.load(render / "real.npy", mmap_mode="r+")
        for row, transform in enumerate(transforms):
            crops[row] = warp_to_crop(Frame(False).pixels, transform, PX)
        crops.flush()

    def _read(self, clip: Path, frames: Sequence[int], *_: Any) -> Iterator[Frame]:
        self.reads.append(frames)
        return (Frame(self.flat) for _ in frames)

    def open(self, footage: Footage, config: Config | None = None, *rerun: str) -> Any:
        return open_grades(
            self.folder, footage, config or Config(), mouth_model(), frozenset(rerun)
        )


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_the_training_clip_is_not_even_looked_at(bench: Bench) -> None:
    assert bench.open(bench.own) is None
    assert not bench.reads


def test_the_same_colours_are_no_other_grade(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    assert bench.open(bench.clip) is None
    assert not caplog.records


def test_another_grade_is_found_and_told_with_numbers(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.flat = True
    with caplog.at_level(logging.WARNING):
        found = bench.open(bench.clip)
    (grade,) = found.at(np.array([3]))
    made = grade.take_back(np.full((1, 3), 0.5, np.float32)) @ np.full(3, 1 / 3)
    assert made == pytest.approx((FLAT[0] + FLAT[1] * 127.5) / 255, abs=0.05)
    (told,) = [each.getMessage() for each in caplog.records]
    assert "clip.mp4 is graded otherwise" in told
    assert "0.3" in told


def test_it_is_measured_once_and_again_when_asked(bench: Bench) -> None:
    bench.flat = True
    for _ in range(2):
        bench.open(bench.clip)
    assert len(bench.reads) == 1
    for count, word in enumerate(("occlusion", "grades"), 2):
        bench.open(bench.clip, None, word)
        assert len(bench.reads) == count


@pytest.mark.parametrize("mounted_read_only", [False, True])
def test_what_is_stale_is_measured_again_unasked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mounted_read_only: bool
) -> None:
    monkeypatch.setenv("METATALK_CACHE", str(tmp_path / "cache"))
    bench.flat = True
    if mounted_read_only:
        refuse_writing(monkeypatch, bench.folder.root)
    with monkeypatch.context() as older:
        older.setattr(grades, "GRADES", replace(GRADES, revision=0))
        bench.open(bench.clip)
    for _ in range(2):
        assert bench.open(bench.clip) is not None
    assert len(bench.reads) == 2
    fill_actor(bench.clip.root, PX, FRAMES + 2)
    bench.open(bench.clip)
    assert len(bench.reads) == 3


def test_it_can_be_turned_off(bench: Bench) -> None:
    bench.flat = True
    config = Config()
    off = replace(config, drive=replace(config.drive, grade=GradeConfig(enabled=False)))
    assert bench.open(bench.clip, off) is None
    assert not bench.reads


def test_an_actor_without_crops_is_driven_as_ever(bench: Bench) -> None:
    bench.flat = True
    (bench.folder.path("render") / "real.npy").unlink()
    assert bench.open(bench.clip) is None


def test_a_damaged_artefact_says_how_to_mend_it(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no archive")
    with pytest.raises(StaleArtefactError, match="--rerun grades"):
        load_colours(tmp_path / FILE)


def test_the_transfer_is_read_from_what_was_taken_in(tmp_path: Path) -> None:
    folder = ActorFolder(tmp_path)
    leave(folder, "ingest", lambda out: None)
    assert read_transfer(folder) == SDR
    facts = {"colour": {"transfer": 16}}
    leave(folder, "ingest", lambda out: (out / "video.json").write_text(json.dumps(facts)))
    assert read_transfer(folder) == PQ


def test_frames_are_spread_over_what_shows_the_face() -> None:
    usable = np.ones(1000, bool)
    usable[:50] = False
    shots = np.array([[0, 40], [40, 500], [500, 1000]])
    none, some, more = grades._choose_frames(shots, usable)
    assert not len(none)
    assert len(some) == len(more) == 24
    assert (some[0], some[-1], more[0], more[-1]) == (50, 499, 500, 999)
