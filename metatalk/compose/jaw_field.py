"""The movement of a jaw line, spread over what lies around it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from metatalk.compose.jaw_apart import find_apart
from metatalk.compose.jaw_config import JawConfig
from metatalk.render.silhouette import outward, signed_distance
from metatalk.shapes import check_shape

FIELD_PX = 64  # side at which movements are spread: they are smooth
# Shares of the crop's side: by the second a jaw is raised so far that all below it is drawn out,
# and is the network's, which has seen more of the neck than the frame shows.
RAISED = (0.1, 0.14)
# Shares of the crop's side: where a jaw is raised by the second, what the network has drawn around
# it is shown as far as a beard goes. An open mouth has drawn the filmed beard and throat apart.
OWN = (0.0, 0.015)
# Below the chin the throat moves with the jaw; beside the cheeks no more does than a beard's hair,
# and what lies farther is still. Parts of the outward direction that are down:
BESIDE, BELOW = 0.3, 0.9
SIDE_HOLD, SIDE_REACH = 0.03, 0.04  # of the crop's side, at most
LEAST_STRETCH = 2.5  # movements fade over this many times their length: nothing is drawn to streaks
HALT = 2.0  # movements end over this many times their length before what stands apart
BESIDE_APART = 5  # px of the picture that tells what stands apart: so near to it counts, too
FAR_OFF = 0.02  # of the crop's side: nearer to a jaw line nothing stands apart from it
MOVED_BY = 2.0  # all moves where half of the line is an edge; beyond that the footage is shown
BORDER = 0.06  # of the crop's side: the movement has ended before the crop does
GUARD = 0.03  # of the crop's side: nothing moves so near to the face's still part
EDGE_GAIN = 3.0  # a thin line's share of the small field's pixels, made whole
SPREAD_PX = 1.5  # of the small field: what is spread is smoothed by so much
STRETCH_PX = 4.0  # of the small field: a stretch of outline that is to be an edge as a whole
STRETCH = (0.5, 0.9)  # share of such a stretch that is an edge: none of it counts, all of it does


@dataclass(frozen=True, eq=False)
class JawMovement:
    """How a crop's footage is to be pulled, so that its jaw line comes to lie on the new one."""

    distance: np.ndarray  # (S, S) float32 px from the new outline, negative inside
    from_filmed: np.ndarray  # (S, S) float32 px from the filmed outline, likewise
    movement: np.ndarray  # (S, S, 2) float32 px from a pixel to the place to be seen there
    trust: np.ndarray  # (S, S) float32 in [0, 1], whether the nearest outline is an edge
    own: np.ndarray  # (S, S) float32 in [0, 1]: how far the network's picture is shown outside it
    apart: np.ndarray  # (S, S) float32 in [0, 1], whether something that stands apart is near

    def __post_init__(self) -> None:
        sizes = check_shape("distance", self.distance, "S S")
        check_shape("movement", self.movement, "S S 2", **sizes)
        for name in ("from_filmed", "trust", "own", "apart"):
            check_shape(name, getattr(self, name), "S S", **sizes)


def jaw_movement(
    shown_face: np.ndarray,
    filmed_face: np.ndarray,
    still: np.ndarray,
    edge: np.ndarray,
    filmed: np.ndarray,
    config: JawConfig,
) -> JawMovement:
    """Find how the footage is to be pulled, so that its jaw line comes to lie on the new one.

    A point of the new outline looks for the nearest one of the filmed outline. Every pixel does
    what its nearest point of the new outline does; that is smoothed, kept as it is over
    `config.hold` and faded out over `config.reach`, or 2.5 times the movement where that is longer.
    Both are shorter beside the face than below it, and it ends before a collar or a background.

    Args:
        shown_face: (S, S) uint8, 0 outside the lower face that is to be shown.
        filmed_face: (S, S) uint8, 0 outside the one in the footage.
        still: (S, S) bool, the part of the face that no jaw moves.
        edge: (S, S) float32, where the shown outline is an edge.
        filmed: (S, S, 3) uint8, the crop as filmed.
        config: see above.

    Returns:
        The movement.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    size = check_shape("shown_face", shown_face, "S S")["S"]
    check_shape("filmed_face", filmed_face, "S S", S=size)
    check_shape("edge", edge, "S S", S=size)
    check_shape("filmed", filmed, "S S 3", S=size)
    new, old = signed_distance(shown_face), signed_distance(filmed_face)
    side = min(FIELD_PX, size)
    near, far = (resize(distance, side) for distance in (new, old))
    scale = np.float32(side / size)
    # Less what the new outline is off itself: where both are one, nothing is to move.
    raised = near - far
    towards = (raised * _beyond_slack(raised, config.slack * size))[..., None]
    towards = towards * outward(far * scale)
    drawn_out = _rise(raised, RAISED, size)
    seen = _line_share(resize(edge, side), near * scale) * (1.0 - drawn_out)
    known = np.dstack([towards, seen, _rise(raised, OWN, size)])
    nearest = centres(side) - (near * scale)[..., None] * outward(near * scale)
    spread = cv2.GaussianBlur(read_at(known, nearest), (0, 0), SPREAD_PX)
    # Where an edge ends the network takes over while all still moves: footage that is shown moves
    # by less than the jaw would cut a notch into it.
    movement, trust = spread[..., :2], ease(MOVED_BY * spread[..., 2] - (MOVED_BY - 1.0))
    moved = ease(MOVED_BY * spread[..., 2])
    length = np.linalg.norm(movement, axis=-1)
    hold, reach = _extent(near, size, config)
    left = ease(1.0 - (near - hold).clip(0) / np.maximum(reach, LEAST_STRETCH * length))
    apart = find_apart(filmed, old)
    left = np.minimum(left, _room_left(apart, new, old, length))
    movement = movement * (left * moved * _freedom(still, side, size))[..., None]
    return JawMovement(
        new,
        old,
        np.float32(config.strength) * resize(movement, size),
        resize(trust, size),
        resize(spread[..., 3], size),
        _near(apart, size),
    )


def _beyond_slack(raised: np.ndarray, slack_px: float) -> np.ndarray:
    """How much of each movement is made: little of small ones, nearly all of large ones."""
    squared = np.square(raised)
    made: np.ndarray = squared / (squared + np.float32(max(slack_px, 1e-6) ** 2))
    return made


def _rise(raised: np.ndarray, shares: tuple[float, float], size: int) -> np.ndarray:
    """0 where a jaw is raised by less than the first share of the crop, 1 from the second on."""
    low, high = (np.float32(share * size) for share in shares)
    return ease((raised - low) / (high - low))


def _extent(near: np.ndarray, size: int, config: JawConfig) -> tuple[np.ndarray, np.ndarray]:
    """(h, w) crop px: as far as all moves as the jaw line does, and over what it fades."""
    down = outward(cv2.GaussianBlur(near, (0, 0), 2.0) * np.float32(len(near) / size))[..., 1]
    below = ease((down - BESIDE) / (BELOW - BESIDE))
    hold, reach = (
        size * (side + below * (full - side))
        for full, side in (
            (config.hold, min(config.hold, SIDE_HOLD)),
            (config.reach, min(config.reach, SIDE_REACH)),
        )
    )
    return hold.astype(np.float32), reach.astype(np.float32)


def _room_left(
    found: np.ndarray, new: np.ndarray, old: np.ndarray, length: np.ndarray
) -> np.ndarray:
    """(h, w) float32: how much of each movement is left before what stands apart."""
    size, apart = len(new), found > 0.5
    apart &= resize(np.minimum(new, old), len(apart)) > FAR_OFF * size
    if not apart.any():
        return np.ones_like(length)
    gap = cv2.distanceTransform((~apart).astype(np.uint8), cv2.DIST_L2, 3)
    gap = resize(gap, len(length)) * np.float32(size / len(apart))
    return ease((gap - 1.0) / (HALT * length + 1.0))


def _near(apart: np.ndarray, size: int) -> np.ndarray:
    wider = cv2.dilate(apart, np.ones((BESIDE_APART, BESIDE_APART), np.uint8))
    return resize(ease(cv2.GaussianBlur(wider, (0, 0), 1.0)), size)


def _freedom(still: np.ndarray, side: int, size: int) -> np.ndarray:
    """(side, side) float32: 0 at the crop's border and on still parts of the face, else 1."""
    free = cv2.distanceTransform((~still).astype(np.uint8), cv2.DIST_L2, 3)
    if not still.any():
        free = np.full(still.shape, size, np.float32)
    centre = (np.arange(side, dtype=np.float32) + 0.5) / side
    edge = np.minimum(centre, 1.0 - centre)
    border = np.minimum(edge[:, None], edge[None]) - edge[0]  # none is left in the last pixel
    return ease(resize(free, side) / (GUARD * size)) * ease(border / BORDER)


def _line_share(edge: np.ndarray, away: np.ndarray) -> np.ndarray:
    """(h, w) float32: how much of the line nearby is an edge.

    A short piece of it amid skin that goes on is the mesh's own kink: there is no jaw line there.
    """
    line = np.exp(-0.5 * (away / 0.7) ** 2)
    here, around = (_share_within(edge, line, width) for width in (SPREAD_PX, STRETCH_PX))
    whole = ease((around - STRETCH[0]) / (STRETCH[1] - STRETCH[0]))
    share: np.ndarray = np.minimum(np.minimum(here, 1.0), whole)
    return share


def _share_within(edge: np.ndarray, line: np.ndarray, width: float) -> np.ndarray:
    found, all_of_it = (cv2.GaussianBlur(part, (0, 0), width) for part in (edge, line))
    # An edge's pixels lie on both sides of the line, and cover what the line's own weight does.
    share: np.ndarray = EDGE_GAIN * found / np.maximum(all_of_it, 1e-3)
    return share


def read_at(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Read a picture between its pixels.

    Args:
        values: (h, w) or (h, w, C), C at most 4.
        places: (H, W, 2) x and y in px, pixel centres at half integers.

    Returns:
        (H, W) or (H, W, C) float32; beyond the border it goes on.
    """
    where = places - np.float32(0.5)
    read: np.ndarray = cv2.remap(
        values.astype(np.float32), where[..., 0], where[..., 1], cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return read


def ease(share: np.ndarray) -> np.ndarray:
    """Round off both ends of a ramp.

    Args:
        share: of any shape; what lies beyond 0 to 1 is held to it.

    Returns:
        The same shape, float32 in [0, 1].
    """
    held = np.clip(share, 0.0, 1.0)
    eased: np.ndarray = (held * held * (3.0 - 2.0 * held)).astype(np.float32)
    return eased


def resize(values: np.ndarray, side: int) -> np.ndarray:
    """Give a square picture another size.

    Args:
        values: (S, S) or (S, S, C).
        side: wanted, px.

    Returns:
        (side, side) or (side, side, C); distances and movements stay in the px that they were in.
    """
    how = cv2.INTER_AREA if side < len(values) else cv2.INTER_LINEAR
    resized: np.ndarray = cv2.resize(values, (side, side), interpolation=how)
    return resized


def centres(size: int) -> np.ndarray:
    """Where a square picture's pixels lie.

    Args:
        size: its side.

    Returns:
        (size, size, 2) float32 x and y of their centres, px.
    """
    middle = np.arange(size, dtype=np.float32) + np.float32(0.5)
    return np.stack(np.meshgrid(middle, middle), -1)
