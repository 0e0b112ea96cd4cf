"""Settings of the landmark room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metatalk.errors import ConfigError


@dataclass(frozen=True)
class LandmarksConfig:
    """How faces are found, which of them is followed, and where a shot ends."""

    detector: Literal["mediapipe", "face-alignment"] = "mediapipe"
    face: int | None = None  # follow this face (0 = leftmost); None: the largest steady one
    max_faces: int = 4  # faces looked for in one picture
    min_confidence: float = 0.3  # of the face detector, 0..1
    max_gap_s: float = 0.4  # longer stretches without a face are left without one
    min_track_s: float = 0.2  # a face seen for less than this is taken for an accident
    cut_sensitivity: float = 1.0  # 2 finds fainter cuts, 0.5 only clear ones, 0 none

    def __post_init__(self) -> None:
        _check("face", self.face is None or self.face >= 0, "0 or more")
        _check("max_faces", self.max_faces >= 1, "1 or more")
        _check("min_confidence", 0.0 < self.min_confidence <= 1.0, "in (0, 1]")
        _check("max_gap_s", self.max_gap_s >= 0.0, "0 or more seconds")
        _check("min_track_s", self.min_track_s >= 0.0, "0 or more seconds")
        _check("cut_sensitivity", self.cut_sensitivity >= 0.0, "0 or more")


def _check(key: str, holds: bool, rule: str) -> None:
    if not holds:
        raise ConfigError(f"landmarks.{key} is out of range", f"give a value that is {rule}")
