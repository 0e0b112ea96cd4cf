"""Eyes of one picture, laid over another of the same person.

The eyes' places are known by the mesh to a pixel or two. What is left is found in the pictures
themselves: around the eyes they show the same brow, nose and cheek, which must come to lie upon
each other. The colours are matched there, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import cv2
import numpy as np

from metatalk.compose.blend import Patch
from metatalk.render.crops import invert_transforms, to_opencv
from metatalk.render.eyes import EyePlaces, carry_eye, eye_distance
from metatalk.render.rasterize import Box
from metatalk.shapes import check_shape

WIDER = 1.7  # a window holds what lies around the eyes as far as this, to be aligned and matched
SOFT = 0.4  # the part of the way out over which an eye fades into the picture
RIM = (0.95, 1.3)  # between these distances colours are matched
ALIGNED = (0.9, 1.6)  # between these the pictures are laid upon each other
STEPS = 4
SMALL_PX = 14  # half an eye's width where this is done
MOST_MOVED = 0.25  # half widths of an eye: more than the mesh is ever wrong by
STIFF = (0.1, 0.05)  # half widths of shift, and share of stretch, that alignment expects
MOST_OFFSET = 0.12  # in colour: more is no difference in light
NOISE = 0.008  # level differences of two pictures of the same, in [0, 1]


class Seen(Protocol):
    """A picture that can be read in part."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    def rgb_float(self, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
        """(h, w, 3) float32 in [0, 1] of the box left, top, right, bottom, as deep as it is."""
        ...


@dataclass(frozen=True, eq=False)
class EyeRim:
    """What lies around a picture's eyes, small and grey: what pictures are laid together by."""

    fine: np.ndarray  # (h, w) float32 grey without noise and light
    small: np.ndarray  # (2, 3) px of the picture to px of `fine`; no turn
    places: EyePlaces  # (1) px of the picture

    @property
    def half_px(self) -> float:
        """Half an eye's width as it is seen from the front, px of the picture."""
        return _half_px(self.places)


@dataclass(frozen=True, eq=False)
class EyeWindow:
    """The part of a picture that shows both eyes."""

    picture: np.ndarray  # (h, w, 3) float16 RGB in [0, 1]: eleven bits, in half a float's room
    left: int
    top: int
    places: EyePlaces  # (1) px of the whole picture

    def __post_init__(self) -> None:
        check_shape("picture", self.picture, "h w 3")

    @property
    def box(self) -> Box:
        """Left, top, right, bottom in the whole picture."""
        height, width = self.picture.shape[:2]
        return self.left, self.top, self.left + width, self.top + height

    @cached_property
    def rim(self) -> EyeRim:
        """What it is laid upon others by."""
        height, width = self.picture.shape[:2]
        half_px = _half_px(self.places)
        shrink = max(1, round(half_px / SMALL_PX))
        size = (-(-width // shrink), -(-height // shrink))
        grey = self.picture.astype(np.float32) @ np.array([0.3, 0.6, 0.1], np.float32)
        small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        half = half_px / shrink
        smooth = cv2.GaussianBlur(small, (0, 0), max(half / 16, 0.6))
        light = cv2.GaussianBlur(small, (0, 0), max(half / 2, 2.0))
        scale = np.array([size[0] / width, size[1] / height])
        shift = -scale * (self.left, self.top)
        return EyeRim(smooth - light, np.column_stack([np.diag(scale), shift]), self.places)


def cut_window(picture: Seen, places: EyePlaces) -> EyeWindow | None:
    """Cut the eyes out of a picture.

    Args:
        picture: the one that shows them.
        places: (1) the eyes in it.

    Returns:
        The window; None where the eyes lie outside the picture or are not known.
    """
    box = places.box(0, picture.width, picture.height, WIDER)
    if box is None:
        return None
    return EyeWindow(picture.rgb_float(box).astype(np.float16), box[0], box[1], places)


def replace_eyes(
    own: EyeWindow,
    first: EyeWindow,
    second: EyeWindow | None = None,
    share: float = 0.0,
) -> Patch | None:
    """Show other pictures' eyes in a picture.

    Args:
        own: the picture that is to get other eyes.
        first: shows the eyes that it gets.
        second: where given, others that are mixed in.
        share: of the second, 0 to 1.

    Returns:
        What is to be laid over the picture; zero alpha from the windows' outlines on. None
        where one of the eyes cannot be carried.
    """
    made = _carry(own, first)
    if made is None:
        return None
    picture, alpha = made
    if second is not None and share > 0:
        other = _carry(own, second)
        if other is None:
            return None
        picture = (1 - share) * picture + np.float32(share) * other[0]
    return Patch(np.clip(picture, 0, 1), alpha, own.left, own.top)


def rim_misfit(own: EyeRim, donor: EyeRim) -> float:
    """Measure how unlike two pictures are around the eyes once they lie upon each other.

    Args:
        own: of the picture that is to get other eyes.
        donor: of the one that shows them.

    Returns:
        The root mean square of their fine difference as a share of the contrast there, of the
        worse eye: 0 for the same picture, about 1.4 for two that have nothing in common;
        infinite where an eye cannot be carried. Reflections in glasses, a hand, blur, or a
        turned head make it large.
    """
    return max(_misfit(own, donor, eye) for eye in range(2))


def _misfit(own: EyeRim, donor: EyeRim, eye: int) -> float:
    view = _View.of(own, eye)
    if view is None:
        return np.inf
    weight = _band(view.distance, *RIM)
    mine, other = view.target, _fetch_fine(view, donor, _align(view, donor))
    contrast = max(_mean(mine**2, weight), _mean(other**2, weight)) + NOISE**2
    return float((_mean((mine - other) ** 2, weight) / contrast) ** 0.5)


def _mean(values: np.ndarray, weight: np.ndarray) -> float:
    return float((values * weight).sum() / max(float(weight.sum()), 1e-6))


def _half_px(places: EyePlaces) -> float:
    return float(np.linalg.norm(places.axes[0], axis=1).max())


def _carry(own: EyeWindow, donor: EyeWindow) -> tuple[np.ndarray, np.ndarray] | None:
    """(h, w, 3) the donor's eyes where the own ones are, and (h, w) how much of them shows."""
    picture = own.picture.astype(np.float32)
    alpha = np.zeros(picture.shape[:2], np.float32)
    filmed = picture.copy()
    for eye in range(2):
        view = _View.of(own.rim, eye)
        distance = eye_distance(own.places, 0, eye, own.box)
        here = _bounds(distance <= RIM[1] + 0.1)
        if view is None or here is None:
            return None
        distance = distance[here]
        carried = _fetch(own, donor, here, _align(view, donor.rim))
        carried += _colour_offset(filmed[here] - carried, distance, own.rim.half_px)
        shown = np.clip((1 - distance) / SOFT, 0, 1)
        shown = shown * shown * (3 - 2 * shown)
        nearer = shown > alpha[here]  # the two windows may meet on a head that is turned far
        picture[here][nearer] = carried[nearer]
        alpha[here] = np.maximum(alpha[here], shown)
    return picture, alpha


@dataclass(frozen=True, eq=False)
class _View:
    """What lies around one eye, small: what pictures are laid upon each other by."""

    affine: np.ndarray  # (2, 3) small px of this view to px of the picture
    target: np.ndarray  # (h, w) float32, fine part of the picture's grey
    distance: np.ndarray  # (h, w) float32, see `eye_distance`
    basis: np.ndarray  # (3, h, w) float32: x and y from the eye in half widths, and one
    half_px: float  # half the eye's width, small px
    middle: np.ndarray  # (2,) of the eye, px of this view
    eye: int
    places: EyePlaces

    @staticmethod
    def of(rim: EyeRim, eye: int) -> _View | None:
        """Look at one eye; None where it is not seen."""
        fine, shift = rim.fine, rim.small[:, 2]
        height, width = fine.shape
        scale = np.diag(rim.small)
        middle = scale * rim.places.middle[0, eye] + shift
        axes = scale[:, None] * rim.places.axes[0, eye]
        placed = EyePlaces(middle[None, None].repeat(2, 1), axes[None, None].repeat(2, 1),
                           (rim.places.up[eye],) * 2)  # fmt: skip
        distance = eye_distance(placed, 0, 0, (0, 0, width, height))
        here = _bounds(distance <= ALIGNED[1])
        if here is None:
            return None
        left, top = here[1].start, here[0].start
        half = rim.half_px * float(scale.mean())
        y, x = np.mgrid[here].astype(np.float32) + np.float32(0.5)
        basis = np.stack([(x - middle[0]) / half, (y - middle[1]) / half, np.ones_like(x)])
        back = np.array([[1 / scale[0], 0.0], [0.0, 1 / scale[1]]])
        affine = np.column_stack([back, back @ (np.array([left, top]) - shift)])
        return _View(
            affine, fine[here], distance[here], basis.astype(np.float32), half,
            middle - (left, top), eye, rim.places,
        )  # fmt: skip


def _align(view: _View, donor: EyeRim) -> np.ndarray:
    """(2, 3) px of the own picture to px of the donor's.

    The mesh's answer is improved by an affine motion that makes what lies around the eye agree.
    """
    affine = carry_eye(view.places, donor.places, view.eye)
    weight = _band(view.distance, *ALIGNED)
    moved = np.zeros(6)
    for _ in range(STEPS):
        seen = _fetch_fine(view, donor, affine @ _as_square(_motion(moved, view)))
        moved = moved + _step(seen, weight, view, moved)
    if not np.isfinite(moved).all() or np.abs(moved[[2, 5]]).max() > MOST_MOVED:
        moved = np.zeros(6)
    aligned: np.ndarray = affine @ _as_square(_motion(moved, view))
    return aligned


def _motion(moved: np.ndarray, view: _View) -> np.ndarray:
    """(2, 3) a motion in px of the picture; `moved` is in half widths about the eye."""
    linear = np.eye(2) + moved.reshape(2, 3)[:, :2]
    shift = view.middle + view.half_px * moved.reshape(2, 3)[:, 2] - linear @ view.middle
    to_picture = _as_square(view.affine)
    inside = _as_square(np.column_stack([linear, shift]))
    motion: np.ndarray = (to_picture @ inside @ _as_square(invert_transforms(view.affine)))[:2]
    return motion


def _step(seen: np.ndarray, weight: np.ndarray, view: _View, moved: np.ndarray) -> np.ndarray:
    """(6,) one Gauss-Newton step towards `seen` showing what the view shows."""
    miss = view.target - seen
    spread = max(_mean(np.abs(miss), weight), NOISE)
    robust = weight / (1 + (miss / (2 * spread)) ** 2)
    # The unknowns are in half widths, the slopes in levels a pixel.
    slopes = [
        cv2.Sobel(seen, cv2.CV_32F, *order, ksize=3, scale=view.half_px / 8)
        for order in ((1, 0), (0, 1))
    ]
    columns = np.concatenate([slope * view.basis for slope in slopes]).reshape(6, -1)
    weighted = columns * robust.ravel()
    noise = max(_mean(miss**2, robust), NOISE**2)
    stiffness = noise * np.tile([1 / STIFF[1], 1 / STIFF[1], 1 / STIFF[0]], 2) ** 2
    normal = np.einsum("in,jn->ij", weighted, columns) + np.diag(stiffness)
    towards = np.einsum("in,n->i", weighted, miss.ravel()) - stiffness * moved
    return np.asarray(np.linalg.solve(normal, towards))


def _fetch_fine(view: _View, donor: EyeRim, affine: np.ndarray) -> np.ndarray:
    """(h, w) float32: the donor's fine grey at a view's pixels."""
    chain = _as_square(donor.small) @ _as_square(affine) @ _as_square(view.affine)
    height, width = view.target.shape
    seen: np.ndarray = cv2.warpAffine(
        donor.fine, to_opencv(chain[:2]), (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return seen


def _fetch(
    own: EyeWindow, donor: EyeWindow, here: tuple[slice, slice], affine: np.ndarray
) -> np.ndarray:
    """(h, w, 3) float32: the donor's pixels at a part of the own window."""
    rows, columns = here
    shifted = affine.copy()
    shifted[:, 2] += affine[:, :2] @ (own.left + columns.start, own.top + rows.start)
    shifted[:, 2] -= (donor.left, donor.top)
    carried: np.ndarray = cv2.warpAffine(
        donor.picture.astype(np.float32),
        to_opencv(shifted),
        (columns.stop - columns.start, rows.stop - rows.start),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return carried


def _colour_offset(difference: np.ndarray, distance: np.ndarray, half_px: float) -> np.ndarray:
    """(h, w, 3) the colour difference seen around the eye, spread smoothly over it."""
    height, width = distance.shape
    weight = _band(distance, *RIM)[..., None]
    difference = np.clip(difference, -MOST_OFFSET, MOST_OFFSET) * weight
    # Far from the rim there is little to go by: the mean of all of it.
    mean = difference.sum((0, 1)) / max(float(weight.sum()), 1e-6)
    shrink = max(1, int(half_px / 8))
    size = (-(-width // shrink), -(-height // shrink))
    both = cv2.resize(np.dstack([difference, weight]), size, interpolation=cv2.INTER_AREA)
    both = cv2.GaussianBlur(both, (0, 0), max(0.45 * half_px / shrink, 0.8))
    faith = np.float32(1e-2)
    offset = (both[..., :3] + faith * mean) / (both[..., 3:] + faith)
    spread: np.ndarray = cv2.resize(
        offset.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR
    )
    return spread


def _band(distance: np.ndarray, inner: float, outer: float) -> np.ndarray:
    """(h, w) float32: 1 between two distances, falling softly to 0 beyond both."""
    soft = 0.1
    rising = np.clip((distance - inner) / soft + 0.5, 0, 1)
    falling = np.clip((outer - distance) / soft + 0.5, 0, 1)
    return np.asarray(rising * falling, np.float32)


def _bounds(inside: np.ndarray) -> tuple[slice, slice] | None:
    left, top, width, height = cv2.boundingRect(inside.astype(np.uint8))
    if width < 4 or height < 4:
        return None
    return slice(top, top + height), slice(left, left + width)


def _as_square(affine: np.ndarray) -> np.ndarray:
    return np.vstack([affine, [0.0, 0.0, 1.0]])
