"""The toy speaker as a fitted clip, and the tools' trials."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from a2e_toys import QUICK, RATE, toy_speech
from face_toys import CAMERA
from mouth_toys import PERSON
from scipy.io import wavfile

from metatalk.landmarks.track import LandmarkTrack
from metatalk.morphable.coefficients import TrackCoefficients, save_coefficients
from metatalk.morphable.lighting import ambient_light
from metatalk.stages.artefacts import save_index, save_landmarks
from metatalk.timing import FrameIndex

TOOLS = Path(__file__).resolve().parents[2] / "tools"
FRAMES_PER_SECOND = 25
TINY = replace(QUICK, steps=2, batch=2, window_s=0.5)


@contextmanager
def trial_tools() -> Iterator[SimpleNamespace]:
    """The modules of the trials, and the tool's as `main`; they import each other by folder."""
    sys.path.insert(0, str(TOOLS))
    try:
        names = ("footage", "marks", "tables", "trial")
        modules = {name: importlib.import_module(f"a2e_trials.{name}") for name in names}
        yield SimpleNamespace(**modules, main=importlib.import_module("benchmark_a2e"))
    finally:
        sys.path.remove(str(TOOLS))


def toy_track(seconds: float, seed: int = 0) -> TrackCoefficients:
    """The toy head's jaw follows the speech's loudness and its smile the pitch."""
    mouth = toy_speech(seconds, seed)[1]
    frames = int(seconds * FRAMES_PER_SECOND)
    times = np.arange(frames) / FRAMES_PER_SECOND
    expression = torch.zeros(frames, 3)
    expression[:, :2] = torch.from_numpy(0.4 + 0.2 * mouth[(times * RATE).astype(int)])
    return TrackCoefficients(
        expression=expression,
        rotation=torch.zeros(frames, 3),
        translation=torch.tensor([0.0, 0.0, 700.0]).expand(frames, 3).clone(),
        lighting=ambient_light(0.8).expand(frames, 3, 9).clone(),
        confidence=torch.ones(frames),
    )


def toy_film(footage: Any, name: str = "toy", seconds: float = 8.0, seed: int = 0) -> Any:
    """A `Filmed` of the toy head; two shots."""
    track = toy_track(seconds, seed)
    frames = len(track)
    return footage.Filmed(
        name,
        toy_speech(seconds, seed)[0],
        np.arange(frames) / FRAMES_PER_SECOND,
        torch.zeros(1),
        track,
        (np.arange(frames) >= frames // 2).astype(int),
    )


def keep_film(film: Any, folder: Path) -> None:
    """Leave on disk what fitting the toy clip leaves."""
    for name in ("ingest", "landmarks", "fit"):
        (folder / name).mkdir(parents=True)
    save_coefficients(folder / "fit" / "coefficients.npz", PERSON, film.track, CAMERA)
    frames = len(film.seconds)
    index = FrameIndex(np.arange(frames, dtype=np.int64), Fraction(1, 25), Fraction(25))
    save_index(folder / "ingest" / "frames.npz", index)
    sound = (film.samples * 32767).round().astype(np.int16)
    wavfile.write(folder / "ingest" / "sound.wav", 16_000, sound)
    points = np.zeros((frames, 478, 3), np.float32)
    seen = np.ones(frames, np.float32), np.ones(frames, np.uint8)
    track = LandmarkTrack(points, *seen, film.shots(), "mediapipe478")
    save_landmarks(folder / "landmarks" / "landmarks.npz", track)
