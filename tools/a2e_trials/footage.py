"""Fitted footage: an actor's sound, and what the mouth did meanwhile."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from metatalk.cli import main as run_metatalk
from metatalk.errors import MediaError
from metatalk.lipsync.mel import SAMPLE_RATE
from metatalk.media.audio import read_sound
from metatalk.morphable.coefficients import TrackCoefficients, load_coefficients
from metatalk.stages.artefacts import load_index, load_landmarks
from metatalk.workspace.digest import digest_file

_FITTED = Path("fit", "coefficients.npz")


@dataclass(frozen=True, eq=False)
class Filmed:
    """A fitted clip, or a piece of one; second 0 is its first frame's and its sound's."""

    name: str
    samples: np.ndarray  # (S,) at 16 kHz
    seconds: np.ndarray  # (T,) when each frame is shown
    identity: Tensor  # (I,)
    track: TrackCoefficients
    shot: np.ndarray  # (T,) number of each frame's shot

    @property
    def duration_s(self) -> float:
        """Seconds up to the end of the last frame."""
        return float(self.seconds[-1] + np.median(np.diff(self.seconds)))

    @property
    def expression(self) -> np.ndarray:
        """(T, E) as fitted."""
        fitted: np.ndarray = self.track.expression.numpy()
        return fitted

    @property
    def is_trusted(self) -> np.ndarray:
        """(T,) bool: frames whose fit is good enough to be learned from and asked about."""
        trusted: np.ndarray = self.track.is_trusted.numpy()
        return trusted

    def shots(self) -> np.ndarray:
        """(N, 2) first frame and one past the last of every shot."""
        first = np.flatnonzero(np.diff(self.shot, prepend=self.shot[0] - 1))
        return np.stack([first, [*first[1:], len(self.shot)]], axis=1)

    def part(self, first_s: float, stop_s: float) -> Filmed:
        """Cut picture and sound, as an editor would.

        Raises:
            MediaError: no two frames lie there.
        """
        frames = np.flatnonzero((self.seconds >= first_s) & (self.seconds < stop_s))
        if len(frames) < 2:
            raise MediaError(
                f"{self.name} has no footage from second {first_s:g} to {stop_s:g}",
                f"It is {self.duration_s:.1f} s long: choose other seconds.",
            )
        begin_s = self.seconds[frames[0]]
        stop = round(min(stop_s, self.duration_s) * SAMPLE_RATE)
        return replace(
            self,
            samples=self.samples[round(begin_s * SAMPLE_RATE) : stop],
            seconds=self.seconds[frames] - begin_s,
            track=self.track.take(frames),
            shot=self.shot[frames],
        )

    def without(self, first_s: float, stop_s: float) -> Filmed:
        """The same with a stretch in which nothing is heard and no face is trusted."""
        hidden = (self.seconds >= first_s) & (self.seconds < stop_s)
        samples, confidence = self.samples.copy(), self.track.confidence.clone()
        samples[round(first_s * SAMPLE_RATE) : round(stop_s * SAMPLE_RATE)] = 0
        confidence[torch.from_numpy(hidden)] = 0
        return replace(self, samples=samples, track=replace(self.track, confidence=confidence))


def read_filmed(source: Path, cache: Path) -> Filmed:
    """Read a fitted clip.

    Args:
        source: a folder with ingest, landmarks and fit, or a clip, which is fitted first.
        cache: where clips are fitted.

    Returns:
        All of it.

    Raises:
        MediaError: it has no sound, or is neither a fitted folder nor a clip.
    """
    folder = source if source.is_dir() else _fitted(source, cache)
    sound = folder / "ingest" / "sound.wav"
    if not (folder / _FITTED).is_file() or not sound.is_file():
        raise MediaError(
            f"{folder} holds no fitted clip with sound",
            "Fit one: python tools/fit_3dmm.py CLIP --actor FOLDER, or give the clip itself.",
        )
    person, track, _ = load_coefficients(folder / _FITTED)
    seconds = load_index(folder / "ingest" / "frames.npz").seconds()
    shot = np.zeros(len(seconds), int)
    for number, (first, last) in enumerate(
        load_landmarks(folder / "landmarks" / "landmarks.npz").shots
    ):
        shot[first:last] = number
    name = source.name if source.is_dir() else source.stem
    return Filmed(name, read_sound(sound).samples, seconds, person.identity, track, shot)


def join_tracks(films: list[Filmed]) -> TrackCoefficients:
    """Lay tracks one behind the other, each moved so that its mean face is that of the last."""
    tracks, mean = [], _mean_expression(films[-1])
    for film in films:
        moved = film.track.expression - _mean_expression(film) + mean
        tracks.append(replace(film.track, expression=moved))
    fields = vars(tracks[0])
    return TrackCoefficients(
        **{name: torch.cat([getattr(track, name) for track in tracks]) for name in fields}
    )


def _mean_expression(film: Filmed) -> Tensor:
    trusted = film.track.is_trusted
    return film.track.expression[trusted if trusted.any() else ...].mean(dim=0)


def _fitted(clip: Path, cache: Path) -> Path:
    """Fit a clip in the cache, or find it fitted there."""
    if not clip.is_file():
        raise MediaError(f"{clip} is neither a folder nor a file", "Check the path.")
    folder = cache / f"{clip.stem}-{digest_file(clip)[:8]}"
    if not (folder / _FITTED).is_file():
        # What fitting prints is no part of the table.
        with contextlib.redirect_stdout(sys.stderr):
            code = run_metatalk(["stage", "fit", str(clip), "--actor", str(folder)])
        if code:
            raise SystemExit(code)
    return folder
