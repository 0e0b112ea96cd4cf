"""How the filmed head moves and when its eyes are shut, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

from metatalk.compose.eyes.blinks import eye_opening
from metatalk.compose.retiming.plan import FramePlan
from metatalk.landmarks.track import LandmarkTrack
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.morphable.pose import transform_points
from metatalk.shapes import check_shape

FACE_MM = 140.0  # width of a face, the unit that motion is told in
_HEAD_MM = (60.0, 60.0, 60.0)  # half the sides of a box that moves with the head
_OPEN, _SHUT = 0.75, 0.45  # opening of the eyes, of the usual one: no blink, all of one


@dataclass(frozen=True, eq=False)
class HeadMotion:
    """What the footage's head does; row t belongs to its frame t."""

    places: np.ndarray  # (T, 16) float64: a head-fixed box in the picture, in face widths
    speed: np.ndarray  # (T,) float64 face widths a second; 0 where no neighbour shows a face
    blink: np.ndarray  # (T,) float64: 0 eyes as open as usual, 1 shut

    def __post_init__(self) -> None:
        count = check_shape("places", self.places, "T P")["T"]
        check_shape("speed", self.speed, "T", T=count)
        check_shape("blink", self.blink, "T", T=count)


def watch_head(
    track: TrackCoefficients, camera: Camera, landmarks: LandmarkTrack, rate: float
) -> HeadMotion:
    """Measure the head's motion and its blinks.

    Motion is the fitted pose's, which is steadier than the landmarks and knows nothing of the
    mouth; a blink is the landmarks', for the fitted lids lag behind the filmed ones.

    Args:
        track: T rows, the footage as fitted.
        camera: its camera.
        landmarks: T rows, the footage as detected.
        rate: frames a second.

    Returns:
        The motion; across a cut nothing moves.

    Raises:
        ShapeError: track and landmarks are of two clips.
    """
    check_shape("track", track.rotation, "T 3", T=len(landmarks))
    places = head_places(track, camera)
    seen = track.has_face.numpy() & landmarks.has_face
    speed = place_speed(places, seen, landmarks.shots, rate)
    return HeadMotion(places, speed, measure_lids(landmarks))


def head_places(track: TrackCoefficients, camera: Camera) -> np.ndarray:
    """Where the corners of a box fixed to the head lie in the picture.

    Args:
        track: T rows.
        camera: the clip's camera.

    Returns:
        (T, 16) float64: x, y of eight corners, in face widths at the clip's usual distance.
    """
    corners = torch.tensor(list(product(*((-half, half) for half in _HEAD_MM))))
    points = transform_points(corners, track.rotation, track.translation)  # (T, 8, 3)
    depth_mm = float(track.translation[:, 2].median().clamp_min(1.0))
    face_px = camera.focal_px * FACE_MM / depth_mm
    return np.asarray(camera.project(points).double().flatten(1).numpy() / face_px)


def place_speed(places: np.ndarray, seen: np.ndarray, shots: np.ndarray, rate: float) -> np.ndarray:
    """Mean speed of points over the steps to a frame and from it.

    Args:
        places: (T, P) x and y of P / 2 points, in any unit.
        seen: (T,) bool: frames whose points are known.
        shots: (K, 2) first frame and one past the last; a step over a cut is none.
        rate: frames a second.

    Returns:
        (T,) float64 units a second; 0 where neither step is known.
    """
    count = check_shape("places", places, "T P")["T"]
    check_shape("seen", seen, "T", T=count)
    steps = np.diff(places, axis=0).reshape(count - 1, places.shape[1] // 2, 2)
    lengths = np.linalg.norm(steps, axis=-1).mean(1) * rate  # (T - 1,)
    known = seen[1:] & seen[:-1]
    known[shots[1:, 0] - 1] = False
    total, steps_known = np.zeros(count), np.zeros(count)
    for rows in (slice(1, None), slice(None, -1)):
        total[rows] += np.where(known, lengths, 0.0)
        steps_known[rows] += known
    speed: np.ndarray = total / np.maximum(steps_known, 1)
    return speed


def measure_lids(landmarks: LandmarkTrack) -> np.ndarray:
    """How far the eyes are shut, against this actor's usual opening.

    Args:
        landmarks: of a clip.

    Returns:
        (T,) float64: 0 open, 1 shut; 0 where there is no face. Eyes cast far down count as shut.
    """
    seen, opening = landmarks.has_face, eye_opening(landmarks).astype(np.float64).mean(1)
    if not seen.any():
        return np.zeros(len(landmarks))
    usual = max(float(np.median(opening[seen])), 1e-6)
    shut = ((_OPEN - opening / usual) / (_OPEN - _SHUT)).clip(0, 1)
    return np.asarray(np.where(seen, shut, 0.0))


def shown_motion(motion: HeadMotion, plan: FramePlan, rate: float) -> HeadMotion:
    """What the head does in a result.

    Args:
        motion: T rows, of the footage.
        plan: N frames of the result.
        rate: frames a second.

    Returns:
        N rows; where the picture jumps the head is as fast as that makes it.
    """
    places, blink = motion.places[plan.frames], motion.blink[plan.frames]
    if plan.towards is not None and plan.share is not None:
        share = plan.share.astype(np.float64)
        places = places + share[:, None] * (motion.places[plan.towards] - places)
        blink = blink + share * (motion.blink[plan.towards] - blink)
    whole = np.array([[0, len(plan)]])
    speed = place_speed(places, np.ones(len(plan), bool), whole, rate)
    return HeadMotion(places, speed, blink)
