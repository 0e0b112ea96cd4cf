"""Clips from files: the presenter, whose truth is known, and real footage, whose truth is not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from metatalk.evaluate.truth import Truth
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.track import LandmarkTrack, track_landmarks
from metatalk.media.picture import Picture
from metatalk.media.video import index_frames, probe_video, read_pictures
from metatalk.morphable.coefficients import load_coefficients
from metatalk.morphable.model import MorphableModel
from metatalk.presenter.files import presenter_files
from metatalk.stages.artefacts import load_landmarks, save_landmarks

ENDINGS = (".mp4", ".mpg", ".mov", ".mkv")


@dataclass(frozen=True, eq=False)
class Footage:
    """A clip in a file, or its beginning."""

    path: Path
    frames: int
    rate: Fraction  # frames a second
    size: tuple[int, int]  # width and height, pixels
    landmarks: LandmarkTrack
    landmarks_s: float  # what finding them took, decoding included

    def pictures(self) -> Iterator[Picture]:
        """Its frames in order."""
        return islice(read_pictures(self.path), self.frames)


def open_footage(path: Path, longest_s: float, cache: Path) -> Footage:
    """Open a clip with its landmarks, which are kept for the next time.

    Args:
        path: video file.
        longest_s: what comes later is left out, seconds.
        cache: folder for landmarks.
    """
    index, info = index_frames(path), probe_video(path)
    frames = min(len(index), round(longest_s * index.rate))
    place = cache / "footage" / f"{path.stem}-{path.stat().st_size}-{frames}"
    if not (place / "seconds.txt").exists():
        place.mkdir(parents=True, exist_ok=True)
        begun = time.perf_counter()
        pictures = (picture.rgb() for picture in islice(read_pictures(path), frames))
        track = track_landmarks(pictures, float(index.rate), LandmarksConfig())
        save_landmarks(place / "landmarks.npz", track)
        (place / "seconds.txt").write_text(f"{time.perf_counter() - begun}\n")
    seconds = float((place / "seconds.txt").read_text())
    track = load_landmarks(place / "landmarks.npz")
    return Footage(path, frames, index.rate, (info.width, info.height), track, seconds)


def find_footage(folder: Path) -> list[Path]:
    """Video files in a folder and the folders in it, by name."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)


def presenter_truth(model: MorphableModel) -> Truth:
    """What the built-in presenter's film was drawn from.

    Its head is never quite still and its lips, closed, press: no frame counts as neutral.
    """
    person, track, camera = load_coefficients(presenter_files().coefficients)
    skin = model.regions["skin"][:, None]
    albedo = torch.where(skin, model.albedo(person.texture), torch.nan)
    never = np.zeros(len(track), bool)
    return Truth(person, track, camera, albedo, never, never)
