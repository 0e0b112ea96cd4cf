"""Score a generated video against the real footage of the same words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path

import numpy as np

from metatalk.errors import FittingError, MediaError
from metatalk.evaluate import mouth
from metatalk.evaluate.picture import face_regions, psnr, sharpness_ratio, ssim
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.detector import Detector, open_detector
from metatalk.media.video import Picture, read_pictures

FEWEST_FRAMES = 10  # with a face in both videos: below it no figure means anything


@dataclass(frozen=True)
class DubScores:
    """What the standard exam measures, in the order in which it is reported."""

    mouth_open_r: float  # Pearson r of the inner-lip gap
    mouth_width_r: float  # Pearson r of the mouth's width
    lag_frames: int  # by which the generated lips come late
    lmd: float  # mean distance of the lip landmarks, inter-ocular distances
    closure_rate: float | None  # share of real closures kept; None: the real lips never close
    psnr_mouth: float  # dB inside the lower face
    ssim_mouth: float  # inside the lower face
    sharpness_ratio: float  # definition inside the lower face, generated / real
    psnr_outside: float | None  # dB outside the face; None: the face fills every picture
    jitter_ratio: float  # restlessness of the lips, generated / real
    detected: float  # 1 - share of all frames with a face in the real picture alone
    frames: int  # compared
    frames_real: int
    frames_generated: int

    def as_dict(self) -> dict[str, float | int | None]:
        """Return the scores by name, ready for JSON."""
        return asdict(self)


def evaluate_dub(
    real: Path, generated: Path, progress: Callable[[int, int | None], object] | None = None
) -> dict[str, float | int | None]:
    """Score a generated video file against the real one.

    Args:
        real: footage of the words that were synthesised.
        generated: the same frames with a synthesised mouth.
        progress: called with the number of frames done, and None for their unknown total.

    Returns:
        The fields of `DubScores` by name.

    Raises:
        MediaError: a file cannot be read, or the pictures differ in size.
        FittingError: hardly a frame shows a face in both.
    """
    rgb_real = (picture.rgb() for picture in read_pictures(real))
    rgb_generated = (picture.rgb() for picture in _reported(read_pictures(generated), progress))
    return score_pictures(rgb_real, rgb_generated).as_dict()


def _reported(
    pictures: Iterable[Picture], progress: Callable[[int, int | None], object] | None
) -> Iterator[Picture]:
    for number, picture in enumerate(pictures):
        if progress is not None:
            progress(number + 1, None)
        yield picture


def score_pictures(real: Iterable[np.ndarray], generated: Iterable[np.ndarray]) -> DubScores:
    """Score generated pictures against the real ones, streaming.

    Args:
        real: (H, W, 3) uint8 RGB pictures in order.
        generated: as many pictures of the same size, showing the same moments.

    Returns:
        The scores; frames beyond the shorter stream are counted and not compared.

    Raises:
        MediaError: the pictures differ in size.
        FittingError: hardly a frame shows a face in both.
    """
    tally = _Tally()
    config = LandmarksConfig(max_faces=1)
    detectors = open_detector(config), open_detector(config)
    for first, second in zip_longest(real, generated):
        tally.count(first is not None, second is not None)
        if first is not None and second is not None:
            _compare(first, second, detectors, tally)
    return tally.scores()


def _compare(
    real: np.ndarray, made: np.ndarray, detectors: tuple[Detector, Detector], tally: _Tally
) -> None:
    if real.shape != made.shape:
        raise MediaError(
            f"frame {tally.frames - 1}: the real picture is {_size(real)}, "
            f"the generated one {_size(made)}",
            "compare videos of one size: evaluate the result as `drive` wrote it",
        )
    # Both detectors see every picture, or their tracking would lose step.
    points, made_points = (
        _points(detector, picture)
        for detector, picture in zip(detectors, (real, made), strict=True)
    )
    if points is None:
        return
    tally.real_faces += 1
    if made_points is not None:
        tally.add(real, made, points, made_points)


@dataclass
class _Tally:
    """Everything that is kept of a comparison: landmarks and a few numbers a frame."""

    frames: int = 0
    frames_real: int = 0
    frames_generated: int = 0
    real_faces: int = 0
    tracks: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    inside: list[tuple[float, float, float]] = field(default_factory=list)
    outside: list[float] = field(default_factory=list)

    def count(self, has_real: bool, has_generated: bool) -> None:
        self.frames_real += has_real
        self.frames_generated += has_generated
        self.frames += has_real and has_generated

    def add(
        self, real: np.ndarray, made: np.ndarray, points: np.ndarray, made_points: np.ndarray
    ) -> None:
        self.tracks.append((points, made_points))
        regions = face_regions(points, *real.shape[:2])
        if not regions.lower.any():
            return
        pair = np.ascontiguousarray(real[regions.box]), np.ascontiguousarray(made[regions.box])
        self.inside.append(
            (
                psnr(*pair, regions.lower),
                ssim(*pair, regions.lower),
                sharpness_ratio(*pair, regions.lower),
            )
        )
        if regions.outside.any():
            self.outside.append(psnr(real, made, regions.outside))

    def scores(self) -> DubScores:
        if len(self.inside) < FEWEST_FRAMES:
            raise FittingError(
                f"a whole face was found in {len(self.inside)} of {self.frames} frames of both "
                "videos: too few to score",
                f"compare at least {FEWEST_FRAMES} frames in which the face is seen",
            )
        real, made = (np.stack(track) for track in zip(*self.tracks, strict=True))  # (T, 478, 2)
        eyes_px = mouth.eye_distance(real)
        real_gap, made_gap = mouth.lip_gap(real, eyes_px), mouth.lip_gap(made, eyes_px)
        real_width, made_width = (mouth.mouth_width(track, eyes_px) for track in (real, made))
        inside = np.array(self.inside)  # (T, 3)
        reach = min(10, len(real) - 2)
        return DubScores(
            mouth_open_r=mouth.correlation(real_gap, made_gap),
            mouth_width_r=mouth.correlation(real_width, made_width),
            lag_frames=mouth.lag(real_gap, made_gap, reach),
            lmd=mouth.lip_distance(real, made),
            closure_rate=mouth.closure_rate(real_gap, made_gap),
            psnr_mouth=float(inside[:, 0].mean()),
            ssim_mouth=float(inside[:, 1].mean()),
            sharpness_ratio=float(np.median(inside[:, 2])),
            psnr_outside=float(np.mean(self.outside)) if self.outside else None,
            jitter_ratio=mouth.jitter_ratio(real, made),
            detected=1 - (self.real_faces - len(self.tracks)) / max(self.frames, 1),
            frames=self.frames,
            frames_real=self.frames_real,
            frames_generated=self.frames_generated,
        )


def _points(detector: Detector, picture: np.ndarray) -> np.ndarray | None:
    faces = detector.detect(picture)
    return faces[0].points[:, :2].copy() if faces else None


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"
