"""The papers' detector: face-alignment's 68 points; its weights are fetched when first used."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import numpy as np

from metatalk.errors import MissingAssetError
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.detector import Face

_REMEDY = (
    "run once with a network, or put its weights into the folder checkpoints/ under"
    " $TORCH_HOME/hub, or use landmarks.detector=mediapipe, which needs neither"
)


class AlignmentDetector:
    """Looks at every picture afresh: slow, and nothing to forget."""

    layout = "ibug68"

    def __init__(self, config: LandmarksConfig) -> None:
        self._config = config
        self._network = _open_network(config.min_confidence)

    def detect(self, picture: np.ndarray) -> list[Face]:
        """Find the faces in an RGB picture, (H, W, 3) uint8; the largest comes first."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of every picture without a face
            points, scores, boxes = self._network.get_landmarks_from_image(
                picture, return_bboxes=True, return_landmark_score=True
            )
        if points is None:
            return []
        faces = [
            Face(_with_depth(one), float(min(np.mean(score), box[4])))
            for one, score, box in zip(points, scores, boxes, strict=True)
        ]
        return sorted(faces, key=lambda face: face.area, reverse=True)[: self._config.max_faces]

    def reset(self) -> None:
        """Do nothing: each picture is looked at by itself."""


def _open_network(min_confidence: float) -> Any:
    try:
        package = importlib.import_module("face_alignment")
    except ImportError as error:
        raise MissingAssetError(
            f"face-alignment cannot be loaded ({error})",
            "pip install face-alignment, or use landmarks.detector=mediapipe",
        ) from error
    try:
        return package.FaceAlignment(
            package.LandmarksType.TWO_D,
            device=_device(),
            face_detector="sfd",
            face_detector_kwargs={"filter_threshold": min_confidence},
            compile=False,
        )
    except (OSError, RuntimeError) as error:
        raise MissingAssetError(
            f"face-alignment's weights cannot be loaded ({error})", _REMEDY
        ) from error


def _device() -> str:
    torch = importlib.import_module("torch")
    return "cuda" if torch.cuda.is_available() else "cpu"


def _with_depth(points: np.ndarray) -> np.ndarray:
    """(68, 2) -> (68, 3) float32: the papers' points have no depth, which is given as 0."""
    flat = np.asarray(points, np.float32)[:, :2]
    return np.concatenate([flat, np.zeros((len(flat), 1), np.float32)], axis=1)
