"""ARKit's 52 units as a CSV with the header that Live Link Face writes."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from metatalk.errors import CurvesError
from metatalk.interchange.take import Take, euler_to_rotation
from metatalk.interchange.timecode import frame_timecode

_PAIRED_EYE = ("Blink", "LookDown", "LookIn", "LookOut", "LookUp", "Squint", "Wide")
_PAIRED_MOUTH = ("Smile", "Frown", "Dimple", "Stretch")
_BOTH = ("Left", "Right")
# In the order of the app's columns; right comes before left where it does there.
ARKIT_UNITS = (
    *(f"eye{name}{side}" for side in _BOTH for name in _PAIRED_EYE),
    "jawForward", "jawRight", "jawLeft", "jawOpen",
    "mouthClose", "mouthFunnel", "mouthPucker", "mouthRight", "mouthLeft",
    *(f"mouth{name}{side}" for name in _PAIRED_MOUTH for side in _BOTH),
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    *(f"mouth{name}{side}" for name in ("Press", "LowerDown", "UpperUp") for side in _BOTH),
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight",
    "tongueOut",
)  # fmt: skip
ANGLES = (
    *(f"Head{angle}" for angle in ("Yaw", "Pitch", "Roll")),
    *(f"{side}Eye{angle}" for side in _BOTH for angle in ("Yaw", "Pitch", "Roll")),
)
HEADER = (
    "Timecode",
    "BlendShapeCount",
    *(name[0].upper() + name[1:] for name in ARKIT_UNITS),
    *ANGLES,
)
_FLIP = Rotation.from_euler("x", 180, degrees=True)  # camera frame to y up, z to the viewer


def write_arkit_csv(path: Path, take: Take) -> None:
    """Write a take as Live Link Face would have recorded it.

    Units that the face model lacks are 0; those that ARKit lacks are left out; activations are
    cut to [0, 1], which readers of this format rely on. The eyes' angles are 0: gaze is in the
    EyeLook columns.

    Args:
        path: the file.
        take: what is written, at the times that are wanted; of a model with ARKit's units.

    Raises:
        CurvesError: the face model has statistical modes in place of units.
    """
    place = {name: take.names.index(name) for name in ARKIT_UNITS if name in take.names}
    if not place:
        raise CurvesError(
            "this face model has statistical modes, not ARKit's units",
            "export .csv or .json, or fit the clip with fit.face_model=anny",
        )
    units = np.zeros((len(take), len(ARKIT_UNITS)))
    fitted = take.track.expression.numpy()
    for column, name in enumerate(ARKIT_UNITS):
        if name in place:
            units[:, column] = fitted[:, place[name]].clip(0.0, 1.0)
    angles = np.zeros((len(take), len(ANGLES)))
    angles[:, :3] = head_angles(take.track.rotation.numpy())
    rate = take.index.rate
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for frame, values in enumerate(np.concatenate([units, angles], axis=1)):
            code = frame_timecode(take.index.time(frame) * rate, rate)
            code = code if "." in code else f"{code}.000"
            numbers = [f"{value:.6f}" for value in values]
            writer.writerow([code, len(numbers), *numbers])


def head_angles(rotation: np.ndarray) -> np.ndarray:
    """Turn a head's rotation into the three angles of the format.

    Args:
        rotation: (T, 3) Euler angles XYZ, radians, model -> camera.

    Returns:
        (T, 3) yaw, pitch, roll in radians, 0 for a face that looks into the camera; positive
        for a face that turns to its own left, looks up, leans to its own right shoulder. The
        head is turned by the roll first, then the pitch, then the yaw.
    """
    upright = _FLIP * euler_to_rotation(rotation) * _FLIP
    yaw, pitch, roll = upright.as_euler("YXZ").T
    return np.stack([yaw, -pitch, roll], axis=-1)
