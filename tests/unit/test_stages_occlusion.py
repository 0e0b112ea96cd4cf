"""The occlusion artefact: made once for a clip, beside the actor's stages and not one of them."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
from mouth_folders import fill_actor
from occlusion_toys import NoHands, open_toy
from read_only_toys import refuse_writing

from metatalk.config import Config
from metatalk.errors import MetatalkError, StaleArtefactError
from metatalk.landmarks import hands
from metatalk.landmarks.hands import Hand, HandFinder
from metatalk.media.video import read_pictures
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.stages import occlusion
from metatalk.stages.footage import Footage
from metatalk.stages.occlusion import OCCLUSION, find_hidden, load_hidden, open_hidden
from metatalk.workspace.actor import ActorFolder

FRAMES, COVERED = 30, range(12, 18)


@dataclass(frozen=True)
class Frame:
    """A textured frame; a black box lies over its middle in some."""

    index: int
    width: int = 320
    height: int = 240

    def rgb(self, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
        noise = np.random.default_rng(0).uniform(90, 160, (self.height, self.width, 3))
        picture = (noise + 3 * np.sin(self.index)).astype(np.uint8)
        if self.index in COVERED:
            picture[110:160, 130:190] = 5
        left, top, right, bottom = box or (0, 0, self.width, self.height)
        return picture[top:bottom, left:right]


@pytest.fixture
def actor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ActorFolder, Footage]:
    """A toy actor, and its training clip taken apart."""
    monkeypatch.setattr(occlusion, "read_pictures", lambda _: map(Frame, range(FRAMES)))
    return open_toy(tmp_path, FRAMES, monkeypatch)


def test_a_covering_is_in_the_artefact(actor: tuple[ActorFolder, Footage]) -> None:
    hidden = open_hidden(*actor, Config())
    covered = hidden.strange_blob > 0.05
    assert covered.nonzero()[0].tolist() == list(COVERED)
    assert hidden.looked.all()
    assert (hidden.hand_share == 0).all()


def test_a_flash_is_in_the_artefact(
    actor: tuple[ActorFolder, Footage], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lit(Frame):
        def rgb(self, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
            light = 150 if self.index in COVERED else 0
            unlit = Frame.rgb(replace(self, index=0), box).astype(int)
            return np.clip(unlit + light, 0, 255).astype(np.uint8)

    frames = [Lit(index) for index in range(FRAMES)]
    monkeypatch.setattr(occlusion, "read_pictures", lambda _: iter(frames))
    hidden = open_hidden(*actor, Config())
    flash = np.isin(np.arange(FRAMES), COVERED)
    assert hidden.level[flash].min() > 0.4
    assert hidden.clipped[flash].min() > 0.2
    assert np.abs(hidden.level[~flash]).max() < 0.05
    assert hidden.clipped[~flash].max() == 0


def test_what_an_older_version_measured_is_measured_again(
    actor: tuple[ActorFolder, Footage], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    monkeypatch.setattr(
        occlusion, "read_pictures", lambda _: looks.append(1) or map(Frame, range(FRAMES))
    )
    with monkeypatch.context() as older:
        older.setattr(occlusion, "OCCLUSION", replace(OCCLUSION, revision=0))
        open_hidden(*actor, Config())
    for _ in range(2):
        open_hidden(*actor, Config())
    assert len(looks) == 2


def test_it_is_made_once_and_again_when_asked(
    actor: tuple[ActorFolder, Footage], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_hidden(*actor, Config())
    looks = []
    monkeypatch.setattr(
        occlusion, "read_pictures", lambda _: looks.append(1) or map(Frame, range(FRAMES))
    )
    again = open_hidden(*actor, Config())
    assert not looks
    np.testing.assert_array_equal(first.strange_blob, again.strange_blob)
    open_hidden(*actor, Config(), frozenset({"occlusion"}))
    assert len(looks) == 1
    open_hidden(*actor, Config(), frozenset({"train_a2e"}))
    assert len(looks) == 1


def test_the_actor_s_own_stages_stay_as_they_are(actor: tuple[ActorFolder, Footage]) -> None:
    folder, footage = actor
    before = {path: path.stat().st_mtime_ns for path in folder.root.rglob("*") if path.is_file()}
    with folder.lock(shared=True):  # as a drive holds it
        open_hidden(folder, footage, Config())
    after = {path: path.stat().st_mtime_ns for path in folder.root.rglob("*") if path.is_file()}
    assert before.items() <= after.items()
    made = {path.relative_to(folder.root).parts[0] for path in after.keys() - before.keys()}
    assert made == {"targets", ".lock"} - {path.name for path in before}
    assert not list(folder.root.rglob("colours.npy"))


def test_another_fit_makes_it_stale(actor: tuple[ActorFolder, Footage]) -> None:
    folder, footage = actor
    open_hidden(folder, footage, Config())
    fill_actor(folder.root, 32, FRAMES + 2)
    with pytest.raises(StaleArtefactError, match="--rerun occlusion"):
        open_hidden(folder, footage, Config())


def test_a_clip_without_a_trusted_face_hides_nothing(
    actor: tuple[ActorFolder, Footage], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def faceless(path: Path):
        person, track, camera = load(path)
        values = {**vars(track), "confidence": 0 * track.confidence}
        return person, TrackCoefficients(**values), camera

    load = occlusion.load_coefficients
    monkeypatch.setattr(occlusion, "load_coefficients", faceless)
    hidden = open_hidden(*actor, Config())
    assert not hidden.looked.any()
    assert (hidden.strange_blob == 0).all()


def test_an_actor_that_can_only_be_read_is_measured_all_the_same(
    actor: tuple[ActorFolder, Footage], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, footage = actor
    monkeypatch.setenv("METATALK_CACHE", str(tmp_path / "cache"))
    assert find_hidden(folder, footage) is None
    with monkeypatch.context() as mounted:
        refuse_writing(mounted, folder.root)
        aside = open_hidden(folder, footage, Config())
        found = find_hidden(folder, footage)
    assert found is not None
    np.testing.assert_array_equal(found.strange_blob, aside.strange_blob)
    assert not (folder.root / "targets").exists()
    assert list((tmp_path / "cache").rglob("hidden.npz"))
    own = open_hidden(folder, footage, Config())
    assert list(folder.root.rglob("hidden.npz"))
    np.testing.assert_array_equal(own.strange_blob, aside.strange_blob)


def test_only_what_was_measured_of_this_fit_is_found(
    actor: tuple[ActorFolder, Footage], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, footage = actor
    monkeypatch.setenv("METATALK_CACHE", str(tmp_path / "cache"))
    open_hidden(folder, footage, Config())
    assert find_hidden(folder, footage) is not None
    with monkeypatch.context() as older:
        older.setattr(occlusion, "OCCLUSION", replace(OCCLUSION, revision=0))
        assert find_hidden(folder, footage) is None
    (path,) = folder.root.rglob("hidden.npz")
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    assert find_hidden(folder, footage) is None
    path.write_bytes(whole)
    fill_actor(folder.root, 32, FRAMES + 2)
    assert find_hidden(folder, footage) is None


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="room cannot be reserved here")
def test_a_full_disk_is_told_before_it_kills(
    actor: tuple[ActorFolder, Footage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of a file with holes that the disk has no room for ends the process."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(MetatalkError, match="the disk is full"):
        open_hidden(*actor, Config())
    monkeypatch.undo()
    assert not list(actor[0].root.rglob("colours.npy"))


def test_a_killed_run_leaves_nothing_once_another_has_run(
    actor: tuple[ActorFolder, Footage], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, footage = actor

    class Killed(BaseException):
        """Nobody tidies up after it."""

    def frames(_: Path) -> Iterator[Frame]:
        yield from map(Frame, range(3))
        raise Killed

    with monkeypatch.context() as killing:
        killing.setattr(occlusion, "read_pictures", frames)
        made = lambda **where: nullcontext(tempfile.mkdtemp(**where))  # noqa: E731
        killing.setattr(occlusion.tempfile, "TemporaryDirectory", made)
        with pytest.raises(Killed):
            open_hidden(folder, footage, Config())
    assert list(folder.root.rglob("colours.npy"))
    open_hidden(folder, footage, Config())
    assert not list(folder.root.rglob("colours.npy"))
    targets = next((folder.root / "targets").iterdir())
    left = {path.name for path in targets.iterdir()}
    assert left == {".lock", "config.json", "occlusion"}


def test_the_hand_models_are_given_back(
    actor: tuple[ActorFolder, Footage], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[int] = []
    monkeypatch.setattr(NoHands, "close", lambda _: closed.append(1))
    open_hidden(*actor, Config())
    assert len(closed) == 1


def test_a_closed_finder_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[MagicMock] = []
    solution = MagicMock()
    solution.Hands.side_effect = lambda **_: opened.append(MagicMock()) or opened[-1]
    monkeypatch.setattr(hands, "_import_solution", lambda _: solution)
    with HandFinder() as finder:
        finder.close()  # nothing is open
        for count in (1, 2):
            finder._ready()
            finder.close()
            finder.close()
            assert [one.close.call_count for one in opened] == [1] * count


def test_a_damaged_file_says_how_to_mend_it(tmp_path: Path) -> None:
    path = tmp_path / "hidden.npz"
    path.write_bytes(b"nothing")
    with pytest.raises(StaleArtefactError, match="--rerun occlusion"):
        load_hidden(path)


def hands_in(clip: Path, frames: range) -> Iterator[list[Hand]]:
    finder = HandFinder()
    for picture in read_pictures(clip):
        if picture.index >= frames.stop:
            return
        if picture.index in frames:
            side = min(picture.width, picture.height)
            top = (picture.height - side) // 5  # a square with the head in its middle
            left = (picture.width - side) // 2
            yield finder.find(picture.rgb((left, top, left + side, top + side)))


def test_a_real_hand_at_the_chin_is_found(shared_clips: Path) -> None:
    found = list(hands_in(shared_clips / "coach_jumpcuts.mp4", range(440, 450)))
    assert sum(bool(hands) for hands in found) >= 7


def test_a_real_face_is_no_hand(shared_clips: Path) -> None:
    assert not any(hands_in(shared_clips / "grid_s1_180s.mp4", range(30)))
