"""Which filmed frame to take texture from: the one whose mouth, pose and sharpness suit best.

Source: Thies et al. 2016 (Face2Face), section 7, retrieves mouths by expression, pose and
appearance. Departs: the cheapest way through all frames is found at once, and staying with a
source, or playing on in it, is free while changing it costs, so that the texture seldom jumps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch

from metatalk.landmarks.points import point_groups
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.morphable.model import MorphableModel
from metatalk.shapes import check_shape

MOUTH_MM = 0.7  # so much of a difference between mouths (root mean square) counts 1,
POSE_DEGREES = 4.0  # as does so much of a turn of the head
BLUR_COST = 0.5  # of a frame with 1/e of the usual sharpness
SWITCH_COST = 3.0  # at 1 up to a third of the frames changed their source, at 3 under a tenth
CANDIDATES = 48  # frames that are considered for each
OTHER_MOUTH = 4.0  # of frames that stand in for the footage: no more of a difference is sought,
POSE_FIRST = 6.0  # and so much more than the mouth's counts the pose's, which footage has right
PLAY_ON = 2  # frames that a source may move on from one frame to the next
MOST_MOUTH_POINTS = 64  # of models without landmarks


@dataclass(frozen=True, eq=False)
class Looks:
    """Frames as they are compared; row n belongs to frame n."""

    mouth: np.ndarray  # (N, M) float32, in units of `MOUTH_MM`
    pose: np.ndarray  # (N, 3) float32, in units of `POSE_DEGREES`

    def __post_init__(self) -> None:
        rows = check_shape("mouth", self.mouth, "N M")["N"]
        check_shape("pose", self.pose, "N 3", N=rows)

    def __len__(self) -> int:
        return len(self.mouth)

    def take(self, rows: np.ndarray) -> Looks:
        """Some of the frames."""
        return Looks(self.mouth[rows], self.pose[rows])

    @cached_property
    def joined(self) -> np.ndarray:
        """(N, M + 3): Euclidean distances between rows are what choices are made by."""
        return np.concatenate([self.mouth, self.pose], axis=1)


def describe_looks(model: MorphableModel, track: TrackCoefficients) -> Looks:
    """Say what a track's mouths and heads look like, whoever's they are.

    Args:
        model: the face model of the track.
        track: (N).

    Returns:
        Its looks. The mouth is told by what expression does to the lips and the chin, in the
        head's own frame: identity does not enter.
    """
    basis = _mouth_basis(model)  # (E, L, 3) mm
    moved = torch.tensordot(track.expression, basis, dims=1).flatten(1).numpy()
    points = basis.shape[1]
    pose = np.degrees(track.rotation.numpy()) / POSE_DEGREES
    mouth = moved / (MOUTH_MM * np.sqrt(points))
    return Looks(mouth.astype(np.float32), pose.astype(np.float32))


def _mouth_basis(model: MorphableModel) -> torch.Tensor:
    if not model.landmark_layout:
        lips = model.regions["lips"].nonzero().flatten()
        chosen = lips[:: max(1, len(lips) // MOST_MOUTH_POINTS)]
        return model.expression_basis[:, chosen]
    groups = point_groups(model.landmark_layout)
    _, _, expression = model.landmark_basis()
    return expression[:, torch.tensor([*groups.lips, groups.chin])]


def measure_blur(crops: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Measure how much less sharp than usual frames are, from moving or from a lost focus.

    Args:
        crops: (N, S, S, 3) uint8, may be a memory map.
        mask: (N, S, S) uint8, 255 where to look.

    Returns:
        (N,) float32: the negative logarithm of sharpness (root mean square of the Laplacian)
        over its median, not below 0.
    """
    sharp = np.empty(len(crops), np.float32)
    for row, (crop, inside) in enumerate(zip(crops, mask, strict=True)):
        grey = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_RGB2GRAY)
        detail = cv2.Laplacian(grey, cv2.CV_32F)[inside > 127]
        sharp[row] = detail.std() if detail.size else 0.0
    usual = max(float(np.median(sharp)), 1e-3) if len(sharp) else 1.0
    return np.maximum(-np.log(np.maximum(sharp, 1e-3) / usual), 0.0).astype(np.float32)


def find_steady_sources(
    wanted: Looks, library: Looks, blur: np.ndarray, frames: np.ndarray
) -> np.ndarray:
    """Choose one source for each frame of a result, all at once.

    Args:
        wanted: (T) frames of the result, in order of time.
        library: (N) frames that there are.
        blur: (N,) from `measure_blur`.
        frames: (N,) their frame numbers, ascending: neighbours may play on.

    Returns:
        (T,) rows of the library. The sum of distances, blur and changes is the least that the
        nearest candidates allow (Viterbi's algorithm).

    Raises:
        ShapeError: arguments that disagree.
    """
    check_shape("blur", blur, "N", N=len(library))
    check_shape("frames", frames, "N", N=len(library))
    if not len(wanted):
        return np.zeros(0, np.int64)
    candidates, costs = _candidates(wanted.joined, library.joined, BLUR_COST * blur)
    total = costs[0]
    came = np.zeros(candidates.shape, np.int64)
    for step in range(1, len(wanted)):
        onward = frames[candidates[step]][None] - frames[candidates[step - 1]][:, None]
        change = np.where((onward >= 0) & (onward <= PLAY_ON), 0.0, SWITCH_COST)
        paths = total[:, None] + change
        came[step] = paths.argmin(0)
        total = paths.min(0) + costs[step]
    place = int(total.argmin())
    chosen = np.empty(len(wanted), np.int64)
    for step in range(len(wanted) - 1, -1, -1):
        chosen[step] = candidates[step, place]
        place = int(came[step, place])
    return chosen


def _candidates(
    wanted: np.ndarray, library: np.ndarray, extra: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(T, K) rows of the library nearest to each, and their (T, K) costs."""
    count = min(CANDIDATES, len(library))
    rows = np.empty((len(wanted), count), np.int64)
    costs = np.empty((len(wanted), count))
    for step, look in enumerate(wanted):
        cost = np.linalg.norm(library - look, axis=1) + extra
        rows[step] = np.argpartition(cost, count - 1)[:count] if count < len(cost) else (
            np.arange(count)
        )  # fmt: skip
        costs[step] = cost[rows[step]]
    return rows, costs


def draw_match(
    looks: Looks,
    row: int,
    allowed: np.ndarray,
    blur: np.ndarray,
    random: np.random.Generator | None,
    among: int = 3,
) -> int:
    """Choose a frame whose mouth and pose are like another's, to learn from.

    Args:
        looks: (N) all frames.
        row: the frame to be like.
        allowed: rows to choose from, at least one.
        blur: (N,) from `measure_blur`.
        random: source of chance; None takes the best.
        among: so many of the best may be chosen.

    Returns:
        Its row.
    """
    joined = looks.joined
    cost = np.linalg.norm(joined[allowed] - joined[row], axis=1) + BLUR_COST * blur[allowed]
    best = allowed[np.argsort(cost, kind="stable")[:among]]
    return int(best[0] if random is None else best[random.integers(len(best))])


def draw_donor(
    looks: Looks, row: int, allowed: np.ndarray, random: np.random.Generator | None
) -> int:
    """Choose a frame that stands in for the footage under a mouth that it does not show.

    When an actor is driven, the footage shows the right pose and light and some other mouth.
    To learn from that, a frame nearly in the same pose is taken whose mouth is another.

    Args:
        looks: (N) all frames.
        row: the frame to stand in for.
        allowed: rows to choose from, at least one; not `row`, or the answer would be given away.
        random: source of chance; None takes the best.

    Returns:
        Its row.
    """
    pose = np.linalg.norm(looks.pose[allowed] - looks.pose[row], axis=1)
    mouth = np.linalg.norm(looks.mouth[allowed] - looks.mouth[row], axis=1)
    cost = POSE_FIRST * pose - np.minimum(mouth, OTHER_MOUTH)
    if random is not None:
        cost = cost + random.exponential(1.0, len(cost))
    return int(allowed[cost.argmin()])
