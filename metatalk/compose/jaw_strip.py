"""The strip that a raised jaw leaves behind it: what lay beside the filmed jaw line fills it.

There the footage shows the filmed chin, no mesh carries texture, and a network that was trained
for a short time draws a bright or dark line along the new chin. What was filmed just outside the
old jaw line says how bright and how coloured the strip may be, and gives it its fine texture.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from metatalk.compose.jaw_field import JawMovement, centres, ease, read_at
from metatalk.render.silhouette import outward
from metatalk.shapes import check_shape

MARGIN = 0.01  # of the crop's side: so near to the filmed outline the chin's own rim is seen
AROUND = 0.02  # of the crop's side: as far around a place its brightest and darkest are looked for
INNER = 0.03  # of the crop's side: so far within a raised chin such a line is looked for, too
ROOM = 0.03  # of full brightness: by so much they may be exceeded
CALM_PX = 3.0  # of the blur after which an outline's direction is told
# A collar is no neck: below a jaw, where these parts of the outward direction are down, nothing of
# what stands apart is drawn in. Beside it a background stands apart, and is what must be seen.
DOWN = (0.3, 0.6)


@dataclass(frozen=True, eq=False)
class Strip:
    """Where a jaw has been raised, and what is to be seen there."""

    share: np.ndarray  # (S, S) float32, 1 in the strip
    rim: np.ndarray  # (S, S) float32, 1 in it and along the chin above it
    places: np.ndarray  # (S, S, 2) float32: where in the filmed crop each pixel lies, crop px

    def __post_init__(self) -> None:
        sizes = check_shape("share", self.share, "S S")
        check_shape("rim", self.rim, "S S", **sizes)
        check_shape("places", self.places, "S S 2", **sizes)


def find_strip(moved: JawMovement, movement: np.ndarray, mask: np.ndarray) -> Strip:
    """Find what a raised jaw has left, and places beside the filmed jaw to fill it from.

    Args:
        moved: how the footage is pulled.
        movement: (S, S, 2) float32, as much of it as is made.
        mask: (S, S) uint8, 0 where the network has nothing to say.

    Returns:
        The strip. Elsewhere the places are those of the movement.
    """
    new, old = moved.distance, moved.from_filmed
    margin, pulled = np.float32(MARGIN * len(mask)), centres(len(mask)) + movement
    rim = ease(new - old) * ease((margin - old + 1.0) / 2.0) * moved.trust * (mask > 0)
    share = rim * ease((new + 1.0) / 2.0)
    rim *= ease(new / np.float32(INNER * len(mask)) + 1.0)
    box = _box_of(share, 1)  # a direction takes two pixels
    if box is None:
        return Strip(share, rim, pulled)
    # A movement that is not made whole would leave the filmed chin's rim in the strip.
    away = outward(cv2.GaussianBlur(old, (0, 0), CALM_PX)[box])
    corner = np.array([box[1].start, box[0].start], np.float32)
    here = np.ascontiguousarray(pulled[box])
    lack = np.maximum(margin - read_at(old, here), 0) * (share[box] > 0)
    pushed = lack[..., None] * read_at(away, here - corner)
    below = ease((away[..., 1] - DOWN[0]) / (DOWN[1] - DOWN[0]))
    free = 1.0 - below * read_at(moved.apart, here + pushed)
    share[box] *= free
    pulled[box] += free[..., None] * pushed
    return Strip(share, rim, pulled)


def _box_of(share: np.ndarray, room: int = 0) -> tuple[slice, slice] | None:
    """Rows and columns of the box around a strip, wider by some pixels on all sides."""
    left, top, width, height = cv2.boundingRect((share > 0).astype(np.uint8))
    if not width:
        return None
    return (
        slice(max(top - room, 0), top + height + room),
        slice(max(left - room, 0), left + width + room),
    )


def hold_to_surroundings(
    picture: np.ndarray, filmed: np.ndarray, from_filmed: np.ndarray, strip: Strip
) -> None:
    """Keep a strip within the brightness and colours of what was filmed beside the jaw.

    Args:
        picture: (S, S, 3) float32 in [0, 1]; changed in place.
        filmed: (S, S, 3) uint8, the crop.
        from_filmed: (S, S) float32 px from the filmed outline, negative inside.
        strip: where, and which places are beside it.
    """
    box = _box_of(strip.rim)
    if box is None:
        return
    size, asked = len(picture), strip.places[box]
    far = float(np.abs(asked - centres(size)[box]).max())
    wide = _box_of(strip.rim, int(np.ceil((AROUND + INNER) * size + far)) + 1)
    assert wide is not None
    seen = cv2.GaussianBlur(filmed[wide].astype(np.float32) / 255, (0, 0), 1.0)
    where: np.ndarray = asked - np.array([wide[1].start, wide[0].start], np.float32)
    everywhere = np.ones(seen.shape[:2], bool)
    outside = from_filmed[wide] > np.float32(MARGIN * size / 2)
    for kept, reach, share in (
        (everywhere, AROUND + INNER, strip.rim),
        (outside, AROUND, strip.share),
    ):
        low, high = _bounds(seen, kept, int(np.ceil(reach * size)), where)
        # A bound beyond what a picture can be: nothing was seen nearby, and nothing is held.
        known = (high[..., :1] >= 0) & (low[..., :1] <= 1)
        held = np.clip(picture[box], low - np.float32(ROOM), high + np.float32(ROOM))
        picture[box] += share[box][..., None] * known * (held - picture[box])


def _bounds(
    seen: np.ndarray, kept: np.ndarray, reach: int, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(h, w, 3) the least and the greatest of what is kept around each place."""
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    lowest = cv2.erode(np.where(kept[..., None], seen, np.float32(2)), kernel)
    highest = cv2.dilate(np.where(kept[..., None], seen, np.float32(-1)), kernel)
    return read_at(lowest, places), read_at(highest, places)
