"""Read the actor's expression off pictures in which the actor says one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from metatalk.errors import FittingError
from metatalk.fitting.config import FitConfig
from metatalk.fitting.geometry import fit_geometry
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.detector import Detector
from metatalk.landmarks.track import track_landmarks
from metatalk.morphable.model import MorphableModel
from metatalk.shapes import check_shape


@dataclass(frozen=True, eq=False)
class Utterance:
    """One sentence: its sound, and the face that says it; row t belongs to frame t."""

    samples: np.ndarray  # (S,) float32 at 16 kHz; sample 0 is at the time of frame 0
    frame_seconds: np.ndarray  # (T,) float64
    expression: np.ndarray  # (T, E) float32 activations of the face units
    has_face: np.ndarray  # (T,) bool
    error_mm: np.ndarray  # (T,) float32 mean landmark error; nan without a face

    def __post_init__(self) -> None:
        check_shape("samples", self.samples, "S")
        frames = check_shape("frame_seconds", self.frame_seconds, "T")["T"]
        check_shape("expression", self.expression, "T E", T=frames)
        check_shape("has_face", self.has_face, "T", T=frames)
        check_shape("error_mm", self.error_mm, "T", T=frames)

    @property
    def face_share(self) -> float:
        """Share of the frames in which a face was fitted, 0 to 1."""
        return float(self.has_face.mean()) if len(self.has_face) else 0.0

    @property
    def mean_error_mm(self) -> float:
        """Mean landmark error of the frames with a face; infinite without one."""
        known = self.error_mm[np.isfinite(self.error_mm)]
        return float(known.mean()) if len(known) else float("inf")

    def is_sound(self, least_face_share: float, most_error_mm: float) -> bool:
        """Say whether the fit is good enough to learn from."""
        return self.face_share >= least_face_share and self.mean_error_mm <= most_error_mm


@dataclass(frozen=True, eq=False)
class Observer:
    """Who watches: a known actor before a camera, and the settings to look with."""

    model: MorphableModel
    identity: Tensor  # (I,) the actor's, held fixed
    size: tuple[int, int]  # width and height in pixels
    rate: float  # frames a second
    landmarks: LandmarksConfig
    fit: FitConfig
    detector: Detector  # opened once: it serves sentence after sentence

    def observe(
        self,
        pictures: Iterable[np.ndarray],
        samples: np.ndarray,
        frame_seconds: np.ndarray,
        report: Callable[[int], None] = lambda frame: None,
    ) -> Utterance:
        """Fit the actor to the pictures of one sentence.

        Args:
            pictures: (H, W, 3) uint8 RGB, one for each frame; gone through once.
            samples: (S,) the sentence at 16 kHz.
            frame_seconds: (T,) when each picture is shown.
            report: told how many pictures have been looked at.

        Returns:
            The utterance; without any face where none was found.
        """
        whole = replace(self.landmarks, cut_sensitivity=0.0)  # a sentence is one shot
        self.detector.reset()
        try:
            track = track_landmarks(
                pictures, self.rate, whole, lambda done, *_: report(done), self.detector
            )
            found = fit_geometry(self.model, track, *self.size, self.rate, self.fit, self.identity)
        except FittingError:
            return _faceless(samples, frame_seconds, self.model.expression_basis.shape[0])
        return Utterance(
            samples,
            frame_seconds,
            found.expression.numpy(),
            np.isfinite(found.error_mm.numpy()),
            found.error_mm.numpy(),
        )


def _faceless(samples: np.ndarray, frame_seconds: np.ndarray, units: int) -> Utterance:
    frames = len(frame_seconds)
    return Utterance(
        samples,
        frame_seconds,
        np.zeros((frames, units), np.float32),
        np.zeros(frames, bool),
        np.full(frames, np.nan, np.float32),
    )
