"""Which landmark is which: named index groups of the two layouts.

"Right" and "left" are the person's own, so the right eye lies on the left of the picture.
Rings and lines run the same way in both layouts, so that code can be written once.
"""

from __future__ import annotations

from dataclasses import dataclass

from metatalk.errors import ConfigError

Indices = tuple[int, ...]


@dataclass(frozen=True)
class PointGroups:
    """Named groups of landmark indices of one layout.

    Rings start at the corner on the picture's left and run clockwise in the picture (over
    the upper lid or lip first). Lines run from the picture's left to its right.
    """

    layout: str
    count: int  # L, the number of landmarks
    lips_outer: Indices  # ring
    lips_inner: Indices  # ring
    right_eye: Indices  # ring
    left_eye: Indices  # ring
    right_brow: Indices  # line; its upper edge where the layout has two
    left_brow: Indices  # line
    right_iris: Indices  # centre first, then its rim; empty where the layout has none
    left_iris: Indices
    nose_bridge: Indices  # line from between the eyes down to the tip
    nose_base: Indices  # line under the nostrils
    jaw: Indices  # line from ear to ear by way of the chin
    oval: Indices  # the face's outline; a ring from the ear where the layout sees a forehead
    lower_face: Indices  # all that speech moves: lips, chin, jaw and lower cheeks
    rigid: Indices  # what neither speech nor brows move: pose is read from these
    lip_gap: tuple[int, int]  # middle of the inner upper lip, of the inner lower lip
    mouth_corners: tuple[int, int]  # outer corners, the picture's left one first
    eye_corners: tuple[int, int]  # outer corners, the picture's left one first
    chin: int

    @property
    def lips(self) -> Indices:
        """Both lip rings, the outer one first."""
        return self.lips_outer + self.lips_inner

    @property
    def eyes(self) -> Indices:
        """Both eye rings, the person's right one first."""
        return self.right_eye + self.left_eye

    @property
    def brows(self) -> Indices:
        """Both brows, the person's right one first."""
        return self.right_brow + self.left_brow

    @property
    def nose(self) -> Indices:
        """Bridge and base of the nose."""
        return self.nose_bridge + self.nose_base


# fmt: off
_MEDIAPIPE_JAW = (
    234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152,
    377, 400, 378, 379, 365, 397, 288, 361, 323, 454,
)
_MEDIAPIPE_LIPS_OUTER = (
    61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146,
)
_MEDIAPIPE_LIPS_INNER = (
    78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95,
)
_MEDIAPIPE_LOWER_FACE = (  # what lies under the nose on a frontal face with its lips closed
    0, 11, 12, 13, 14, 15, 16, 17, 18, 32, 37, 38, 39, 40, 41, 42, 43, 57, 58, 61, 62, 72, 73,
    74, 76, 77, 78, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 95, 96, 106, 135, 136,
    138, 140, 146, 148, 149, 150, 152, 164, 165, 167, 169, 170, 171, 172, 175, 176, 178, 179,
    180, 181, 182, 183, 184, 185, 186, 191, 192, 194, 199, 200, 201, 202, 204, 207, 208, 210,
    211, 212, 213, 214, 215, 216, 262, 267, 268, 269, 270, 271, 272, 273, 287, 288, 291, 292,
    302, 303, 304, 306, 307, 308, 310, 311, 312, 313, 314, 315, 316, 317, 318, 319, 320, 321,
    322, 324, 325, 335, 364, 365, 367, 369, 375, 377, 378, 379, 391, 393, 394, 395, 396, 397,
    400, 402, 403, 404, 405, 406, 407, 408, 409, 410, 415, 416, 418, 421, 422, 424, 428, 430,
    431, 432, 433, 434, 435, 436,
)

MEDIAPIPE478 = PointGroups(
    layout="mediapipe478",
    count=478,
    lips_outer=_MEDIAPIPE_LIPS_OUTER,
    lips_inner=_MEDIAPIPE_LIPS_INNER,
    right_eye=(33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    left_eye=(362, 398, 384, 385, 386, 387, 388, 466, 263, 249, 390, 373, 374, 380, 381, 382),
    right_brow=(70, 63, 105, 66, 107),
    left_brow=(336, 296, 334, 293, 300),
    right_iris=(468, 469, 470, 471, 472),
    left_iris=(473, 474, 475, 476, 477),
    nose_bridge=(168, 6, 197, 195, 5, 4, 1),
    nose_base=(98, 97, 2, 326, 327),
    jaw=_MEDIAPIPE_JAW,
    oval=(
        234, 127, 162, 21, 54, 103, 67, 109, 10, 338, 297, 332, 284, 251, 389, 356, 454,
        323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
        148, 176, 149, 150, 136, 172, 58, 132, 93,
    ),
    lower_face=_MEDIAPIPE_LOWER_FACE,
    rigid=(10, 151, 9, 8, 168, 6, 197, 195, 5, 4, 33, 133, 362, 263, 127, 356, 234, 454),
    lip_gap=(13, 14),
    mouth_corners=(61, 291),
    eye_corners=(33, 263),
    chin=152,
)
# fmt: on

IBUG68 = PointGroups(
    layout="ibug68",
    count=68,
    lips_outer=tuple(range(48, 60)),
    lips_inner=tuple(range(60, 68)),
    right_eye=tuple(range(36, 42)),
    left_eye=tuple(range(42, 48)),
    right_brow=tuple(range(17, 22)),
    left_brow=tuple(range(22, 27)),
    right_iris=(),
    left_iris=(),
    nose_bridge=tuple(range(27, 31)),
    nose_base=tuple(range(31, 36)),
    jaw=tuple(range(17)),
    oval=tuple(range(17)) + tuple(range(26, 16, -1)),
    lower_face=tuple(range(3, 14)) + tuple(range(48, 68)),
    rigid=(0, 16, 27, 28, 29, 30, 33, 36, 39, 42, 45),
    lip_gap=(62, 66),
    mouth_corners=(48, 54),
    eye_corners=(36, 45),
    chin=8,
)

_LAYOUTS = {groups.layout: groups for groups in (MEDIAPIPE478, IBUG68)}


def point_groups(layout: str) -> PointGroups:
    """Return the index groups of a layout by its name.

    Raises:
        ConfigError: there is no such layout.

    >>> point_groups("mediapipe478").lip_gap
    (13, 14)
    """
    if layout not in _LAYOUTS:
        raise ConfigError(f"no landmark layout is {layout!r}", f"use one of {sorted(_LAYOUTS)}")
    return _LAYOUTS[layout]
