"""Read the actor's expression off pictures in which the actor says one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from metatalk.errors import FittingError
from metatalk.fitting.config import FitConfig
from metatalk.fitting.geometry import fit_track, prepare_clip
from metatalk.fitting.residuals import Unknowns
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.detector import Detector
from metatalk.landmarks.track import LandmarkTrack, track_landmarks
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
    """Who watches: a known actor before the camera that filmed the clip, and how to look.

    Expression and pose alone are unknown. They are read off landmarks: colours are not asked, so
    the actor's texture does not enter. Holding the pose that the clip's fit found was tried, for
    a teacher that leaves the head alone: errors and jitter were larger by a hundredth or two.
    """

    model: MorphableModel
    identity: Tensor  # (I,) the actor's, held fixed
    size: tuple[int, int]  # width and height of the clip's picture, pixels
    focal_px: float  # of the clip's camera, held fixed
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
        to_clip: Callable[[np.ndarray], np.ndarray] = lambda points: points,
    ) -> Utterance:
        """Fit the actor to the pictures of one sentence.

        Args:
            pictures: (H, W, 3) uint8 RGB, one for each frame; gone through once.
            samples: (S,) the sentence at 16 kHz.
            frame_seconds: (T,) when each picture is shown.
            report: told how many pictures have been looked at.
            to_clip: takes (T, L, 3) landmarks in these pictures to pixels of the clip's, where
                these show a part of them or are smaller.

        Returns:
            The utterance; without any face where none was found.
        """
        whole = replace(self.landmarks, cut_sensitivity=0.0)  # a sentence is one shot
        self.detector.reset()
        try:
            seen = track_landmarks(
                pictures, self.rate, whole, lambda done, *_: report(done), self.detector
            )
            track = replace(seen, points=to_clip(seen.points))
            expression, error_mm = self._fit(track)
        except FittingError:
            return _faceless(samples, frame_seconds, self.model.expression_basis.shape[0])
        errors = error_mm.numpy()
        return Utterance(samples, frame_seconds, expression.numpy(), np.isfinite(errors), errors)

    def _fit(self, track: LandmarkTrack) -> tuple[Tensor, Tensor]:
        """(T, E) expressions and (T,) errors, by the clip's own camera."""
        clip = prepare_clip(self.model, track, self.size, self.rate, self.fit, known=True)
        none = self.identity.new_zeros(0, 3)
        shared = Unknowns(  # of no frames: identity and focal length are what counts
            self.identity,
            torch.as_tensor(self.focal_px, dtype=self.identity.dtype),
            self.identity.new_zeros(0, len(self.model.expression_basis)),
            self.identity.new_zeros(0, 3, 3),
            none,
        )
        found = fit_track(clip, shared)
        return found.expression, found.error_mm


def _faceless(samples: np.ndarray, frame_seconds: np.ndarray, units: int) -> Utterance:
    frames = len(frame_seconds)
    return Utterance(
        samples,
        frame_seconds,
        np.zeros((frames, units), np.float32),
        np.zeros(frames, bool),
        np.full(frames, np.nan, np.float32),
    )
