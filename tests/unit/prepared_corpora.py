"""Talking clips, and a detector that knows where their faces are, for the tests of preparation."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media_clips import make_clip

from metatalk.landmarks.detector import Face
from metatalk.landmarks.points import point_groups
from metatalk.stages import lipsync_tracks
from metatalk.stages.lipsync_prepare import Outcome, prepare_corpus
from metatalk.stages.lipsync_tracks import Preparation
from metatalk.stages.stage import silent_progress

CLICK_S = Fraction(3, 2)
FACE = (20.0, 12.0, 76.0, 60.0)  # left, top, right, bottom, of pictures of 96 x 72


def talking_clip(path: Path, frames: int = 75, **options: Any) -> Path:
    """Numbered pictures with a click at 1.5 s, which is all that its sound track holds."""
    given = {"size": (96, 72), "sound_start_s": CLICK_S, **options}
    return make_clip(path, frames, **given)


def know_faces(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the detector of each clip is told from here on."""
    told: dict[str, Any] = {}
    monkeypatch.setattr(lipsync_tracks, "_ready_detector", lambda config: KnowingDetector(**told))
    return told


def prepare(corpus: Path, *clips: Path, seconds: float = 1.0, **options: Any) -> Outcome:
    """Prepare clips in this process."""
    preparation = Preparation(min_seconds=seconds)
    return prepare_corpus(list(clips), corpus, preparation, silent_progress, workers=1, **options)


def bad_clips(folder: Path, clip: Path) -> dict[str, str]:
    """Clips of which nothing can be cut, and what is said of each."""
    folder.mkdir()
    talking_clip(folder / "mute.mp4", sound_start_s=None)
    talking_clip(folder / "silent.mp4", sound_start_s=Fraction(100))
    talking_clip(folder / "short.mp4", 20, sound_start_s=Fraction(1, 2))
    (folder / "torn.mp4").write_bytes(clip.read_bytes()[:3000])
    (folder / "empty.mov").write_bytes(b"")
    (folder / "letter.mp4").write_text("Dear Sir or Madam")
    return {
        "mute.mp4": "no sound track",
        "silent.mp4": "silent",
        "short.mp4": "0.8",
        "torn.mp4": "not a video or audio file that can be read",
        "empty.mov": "is empty (0 bytes)",
        "letter.mp4": "not a video or audio file that can be read",
    }


class KnowingDetector:
    """Finds one face where it is told that one is, in pictures of any size."""

    layout = "ibug68"

    def __init__(self, first: int = 0, end: int = 10**9, faces: int = 1) -> None:
        self.first, self.end, self.faces = first, end, faces
        self.seen = 0
        self.shapes: set[tuple[int, ...]] = set()

    def reset(self) -> None:
        """Nothing is remembered but the number of the picture."""

    def detect(self, picture: np.ndarray) -> list[Face]:
        """A face of sixty-eight points that sways a little."""
        number, self.seen = self.seen, self.seen + 1
        self.shapes.add(picture.shape)
        if not self.first <= number < self.end:
            return []
        scale = picture.shape[0] / 72
        sway = 2 * np.sin(number / 9)
        faces = [face_in((FACE[0] + sway, FACE[1], FACE[2] + sway, FACE[3]), scale)]
        small = face_in((2.0, 2.0, 14.0, 14.0), scale)
        return [*faces, *[small] * (self.faces - 1)]


def face_in(box: tuple[float, float, float, float], scale: float = 1.0) -> Face:
    """Sixty-eight points that fill a box: eyes in its upper half, the nose in its middle."""
    groups = point_groups("ibug68")
    chance = np.random.default_rng(1)
    place = chance.uniform(0.3, 0.7, (68, 2)).astype(np.float32)
    place[list(groups.oval)] = np.linspace((0, 0.2), (1, 0.2), len(groups.oval))
    place[groups.chin] = (0.5, 1.0)
    place[list(groups.eyes), 1] = 0.3
    place[list(groups.nose_base), 1] = 0.6
    corner, size = np.array(box[:2]), np.array([box[2] - box[0], box[3] - box[1]])
    points = np.zeros((68, 3), np.float32)
    points[:, :2] = (corner + place * size) * scale
    return Face(points, 1.0)
