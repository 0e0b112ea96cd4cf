"""What lies around the jaw, drawn along by it: filmed neck, beard and background.

The network knows the face that it is to draw and the mesh that carries texture ends where the face
does. Below a jaw that has moved both leave what was never filmed there, or what was filmed when
the jaw was elsewhere: a second chin, a beard without its rim. So the footage itself is pulled to
the new jaw line by a smooth warp that fades out below. Its source lies outside the filmed face
wherever its target lies outside the new one: no chin can be carried into a neck. It has no holes,
because a vacated strip is filled by stretching what lies below. Only where the jaw is raised by
very much the network, which has seen more of the neck than the frame shows, keeps its say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numba import njit

from metatalk.compose.jaw_config import JawConfig
from metatalk.render.silhouette import outward, signed_distance
from metatalk.shapes import check_shape

FIELD_PX = 64  # side at which movements are spread: they are smooth
# Shares of the crop's side: a jaw raised by more than the first leaves a strip that stretching
# would fill with a drawn-out collar; by the second all of it is the network's.
RAISED = (0.035, 0.07)
APART = (0.05, 0.12)  # mean difference in brightness: one thing in another shade, another thing
THEIRS = 0.1  # share of the footage from which its own map counts
UNSURE = 0.3  # weight of carried texture below which another may stand in for it
INNER = 0.03  # of the crop's side: so far within the outline
SEAM = 0.02  # of the crop's side: over which the new face gives way to the footage
LEAST_STRETCH = 1.7  # movements fade over at least this many times their length: no folds
BORDER = 0.06  # of the crop's side: the movement has ended before the crop does
GUARD = 0.03  # of the crop's side: nothing moves so near to the face's still part
ROOM = 0.1  # of the crop's side: what is laid over the frame reaches so far beyond what moves
EDGE_GAIN = 3.0  # a thin line's share of the small field's pixels, made whole
SPREAD_PX = 1.5  # of the small field: what is spread is smoothed by so much
SEEN_PX = 0.2  # a movement by less is not seen
UNSEEN_PX, AT_PX = (
    0.5,
    256,
)  # nor one by this, at this side: it begins here and is whole by twice it


@dataclass(frozen=True, eq=False)
class Followed:
    """One crop's new lower face with what lies around it, for `blend.compose_window`."""

    picture: np.ndarray  # (S, S, 3) float32 RGB in [0, 1]
    mask: np.ndarray  # (S, S) uint8, 255 where it may be laid over the frame
    carried: np.ndarray  # (S, S, 2) float32: where in the filmed crop each pixel lies, crop px
    passed: np.ndarray | None  # (S, S) float32, weight of the filmed fine band
    drawn: np.ndarray  # (S, S) float32, 1 where the network's picture is shown, 0 the footage's
    # how far it is to be seen, 0 to 1: of next to no movement all is left as it came, and what
    # comes and goes does so by shares
    share: float = 1.0


def follow_jaw(
    picture: np.ndarray,
    mask: np.ndarray,
    carried: np.ndarray,
    passed: np.ndarray | None,
    filmed: np.ndarray,
    shown_face: np.ndarray,
    filmed_face: np.ndarray,
    still: np.ndarray,
    edge: np.ndarray,
    feather_px: float,
    config: JawConfig,
) -> Followed:
    """Surround a new lower face with the footage, pulled to its jaw line.

    Args:
        picture: (S, S, 3) float32 in [0, 1], the new lower face, colours matched.
        mask: (S, S) uint8, 255 where it is meant to be seen.
        carried: (S, S, 2) float32: where in the filmed crop each pixel's skin lies, crop px; nan
            where there is none.
        passed: (S, S) float32 weight of the carried fine band, or None.
        filmed: (S, S, 3) uint8, the crop as filmed.
        shown_face: (S, S) uint8, see `silhouette.Outlines`.
        filmed_face: (S, S) uint8, in the same pose.
        still: (S, S) bool.
        edge: (S, S) float32. Where the outline is no edge the network's picture stays: there the
            mesh itself goes on, and carries the skin beyond.
        feather_px: width of the mask's soft edge, crop px.
        config: strength and reach; of strength 0 all is given back as it came.

    Returns:
        The picture and its maps, a mask that takes in all that moves, and how far it is to be seen
        in place of what came.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    sizes = check_shape("mask", mask, "S S")
    check_shape("picture", picture, "S S 3", **sizes)
    check_shape("carried", carried, "S S 2", **sizes)
    check_shape("filmed", filmed, "S S 3", **sizes)
    check_shape("still", still, "S S", **sizes)
    if config.strength == 0 or not (mask.any() and shown_face.any() and filmed_face.any()):
        return Followed(picture, mask, carried, passed, np.ones(mask.shape, np.float32), 0.0)
    size = len(mask)
    distance, movement, trust = jaw_movement(shown_face, filmed_face, still, edge, config)
    begun = float(_ease(np.abs(movement).max() * AT_PX / size / UNSEEN_PX - 1.0))
    if begun == 0:
        return Followed(picture, mask, carried, passed, np.ones(mask.shape, np.float32), 0.0)
    agreed = _agreement(picture, filmed, mask, distance, movement)
    movement, trust = movement * agreed[..., None], trust * agreed
    wider = _widen(mask, movement, trust, still)
    footage = _footage_share(distance, trust, mask, wider, feather_px)
    places = _centres(size) + movement
    out, source = picture.copy(), carried.copy()
    let = None if passed is None else passed + footage * (1.0 - passed)
    near = (distance > -np.float32(INNER * size)) & (trust > 0.5)
    theirs = footage > THEIRS
    if passed is not None:
        theirs |= near & (passed < UNSURE)
    _surround(out, source, filmed, places, footage, theirs)
    return Followed(out, wider, source, let, 1.0 - footage, begun)


def _agreement(
    picture: np.ndarray,
    filmed: np.ndarray,
    mask: np.ndarray,
    distance: np.ndarray,
    movement: np.ndarray,
) -> np.ndarray:
    """(S, S) float32: 0 where pulled footage and the network's picture are of different things.

    A beard's rim or a shadow is a little darker or lighter than what the network has drawn; a
    collar that would be drawn over the neck is another thing altogether.
    """
    size = len(mask)
    side = min(FIELD_PX, size)
    scale = np.float32(side / size)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    seen = _resize(cv2.cvtColor(filmed, cv2.COLOR_RGB2GRAY), side).astype(np.float32) / 255
    pulled = _read(seen, _centres(side) + scale * _resize(movement, side))
    drawn = ((mask > 0) & (distance > 0)).astype(np.float32)
    weight = _resize(drawn, side)
    apart = np.abs(_resize(grey, side) - pulled) * weight
    local = cv2.GaussianBlur(apart, (0, 0), 1.5) / (cv2.GaussianBlur(weight, (0, 0), 1.5) + 0.05)
    # A jaw that is lowered covers what lies below; one that is raised draws it out.
    away = outward(scale * _resize(distance, side))
    raised = (_resize(movement, side) * away).sum(-1) / (SEEN_PX * 5)
    wrong = _ease((local - APART[0]) / (APART[1] - APART[0])) * _ease(raised)
    wide = cv2.dilate(wrong, np.ones((7, 7), np.uint8))
    return 1.0 - _resize(cv2.GaussianBlur(wide, (0, 0), 2.0), size)


def _footage_share(
    distance: np.ndarray,
    trust: np.ndarray,
    mask: np.ndarray,
    wider: np.ndarray,
    feather_px: float,
) -> np.ndarray:
    """(S, S) float32: how much of each pixel is the pulled footage.

    All of it outside the jaw line, and all of it outside the mask: there the network has drawn
    nothing that is meant to be seen.
    """
    share = trust * _ease(distance / np.float32(SEAM * len(mask)))
    added = (wider > 0) & (mask == 0)
    if added.any():
        away = cv2.distanceTransform((~added).astype(np.uint8), cv2.DIST_L2, 3)
        width = np.float32(SEAM * len(mask)) + (1.0 - trust) * np.float32(2 * feather_px)
        share = 1.0 - (1.0 - share) * _ease((away - 0.5) / width)
    share[(wider == 0)] = 0.0
    return share


def jaw_movement(
    shown_face: np.ndarray,
    filmed_face: np.ndarray,
    still: np.ndarray,
    edge: np.ndarray,
    config: JawConfig,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find how the footage is to be pulled, so that its jaw line comes to lie on the new one.

    A point of the new outline looks for the nearest one of the filmed outline. Every pixel does
    what its nearest point of the new outline does; that is smoothed, kept as it is over
    `config.hold` and faded out over `config.reach`, or 1.7 times the movement where that is longer.

    Args:
        shown_face: (S, S) uint8, 0 outside the lower face that is to be shown.
        filmed_face: (S, S) uint8, 0 outside the one in the footage.
        still: (S, S) bool, the part of the face that no jaw moves.
        edge: (S, S) float32, where the shown outline is an edge.
        config: see above.

    Returns:
        (S, S) float32 distance from the new outline, px, negative inside; (S, S, 2) float32 from
        each pixel to the place in the footage that is to be seen there, px; and (S, S) float32
        in [0, 1], whether the nearest outline is an edge.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    size = check_shape("shown_face", shown_face, "S S")["S"]
    check_shape("filmed_face", filmed_face, "S S", S=size)
    check_shape("edge", edge, "S S", S=size)
    new, old = signed_distance(shown_face), signed_distance(filmed_face)
    side = min(FIELD_PX, size)
    near, far = (_resize(distance, side) for distance in (new, old))
    scale = np.float32(side / size)
    # Less what the new outline is off itself: where both are one, nothing is to move.
    raised = near - far
    towards = (raised * _beyond_slack(raised, config.slack * size))[..., None]
    towards = towards * outward(far * scale)
    low, high = (np.float32(share * size) for share in RAISED)
    known = np.dstack(
        [
            towards,
            _line_share(_resize(edge, side), near * scale) * _ease((high - raised) / (high - low)),
        ]
    )
    nearest = _centres(side) - (near * scale)[..., None] * outward(near * scale)
    spread = cv2.GaussianBlur(_read(known, nearest), (0, 0), SPREAD_PX)
    movement, trust = spread[..., :2], _ease(1.5 * spread[..., 2] - 0.25)
    left = _share(near, np.linalg.norm(movement, axis=-1), size, config)
    movement = movement * (left * trust * _freedom(still, side, size))[..., None]
    return new, np.float32(config.strength) * _resize(movement, size), _resize(trust, size)


def _beyond_slack(raised: np.ndarray, slack_px: float) -> np.ndarray:
    """How much of each movement is made: little of small ones, nearly all of large ones."""
    squared = np.square(raised)
    made: np.ndarray = squared / (squared + np.float32(max(slack_px, 1e-6) ** 2))
    return made


def _share(away: np.ndarray, length: np.ndarray, size: int, config: JawConfig) -> np.ndarray:
    """How much of the jaw line's movement is left at a distance from it."""
    over = np.maximum(config.reach * size, LEAST_STRETCH * length)
    return _ease(1.0 - (away - config.hold * size).clip(0) / over)


def _freedom(still: np.ndarray, side: int, size: int) -> np.ndarray:
    """(side, side) float32: 0 at the crop's border and on still parts of the face, else 1."""
    free = cv2.distanceTransform((~still).astype(np.uint8), cv2.DIST_L2, 3)
    if not still.any():
        free = np.full(still.shape, size, np.float32)
    centre = (np.arange(side, dtype=np.float32) + 0.5) / side
    edge = np.minimum(centre, 1.0 - centre)
    border = np.minimum(edge[:, None], edge[None])
    return _ease(_resize(free, side) / (GUARD * size)) * _ease(border / BORDER)


def _line_share(edge: np.ndarray, away: np.ndarray) -> np.ndarray:
    """(h, w) float32: how much of the line nearby is an edge."""
    line = np.exp(-0.5 * (away / 0.7) ** 2)
    found, all_of_it = (cv2.GaussianBlur(part, (0, 0), SPREAD_PX) for part in (edge, line))
    # An edge's pixels lie on both sides of the line, and cover what the line's own weight does.
    share: np.ndarray = np.clip(EDGE_GAIN * found / np.maximum(all_of_it, 1e-3), 0.0, 1.0)
    return share


def _read(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """A picture's values at places between its pixels, pixel centres at half integers."""
    where = places - np.float32(0.5)
    read: np.ndarray = cv2.remap(
        values.astype(np.float32), where[..., 0], where[..., 1], cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return read


def _ease(share: np.ndarray) -> np.ndarray:
    held = np.clip(share, 0.0, 1.0)
    eased: np.ndarray = (held * held * (3.0 - 2.0 * held)).astype(np.float32)
    return eased


def _resize(values: np.ndarray, side: int) -> np.ndarray:
    """Distances and movements stay in the pixels that they were in."""
    how = cv2.INTER_AREA if side < len(values) else cv2.INTER_LINEAR
    resized: np.ndarray = cv2.resize(values, (side, side), interpolation=how)
    return resized


def _centres(size: int) -> np.ndarray:
    """(S, S, 2) x and y of the pixels' centres."""
    middle = np.arange(size, dtype=np.float32) + np.float32(0.5)
    return np.stack(np.meshgrid(middle, middle), -1)


def _widen(
    mask: np.ndarray, movement: np.ndarray, trust: np.ndarray, still: np.ndarray
) -> np.ndarray:
    """The mask, grown so that all that moves lies well within it; never over the still face.

    Where nothing moves the footage is laid over itself there: growing costs work and nothing else.
    """
    moved = np.maximum(np.abs(movement[..., 0]), np.abs(movement[..., 1])) > SEEN_PX
    away = cv2.distanceTransform(((mask == 0) & ~moved).astype(np.uint8), cv2.DIST_L2, 3)
    wider = (away <= ROOM * len(mask)) & ~still & (trust > 0)
    wider[: int(mask.any(1).argmax())] = False  # what lies above was not looked at
    return np.where(wider | (mask > 0), np.uint8(255), np.uint8(0))


def _surround(
    picture: np.ndarray,
    carried: np.ndarray,
    filmed: np.ndarray,
    places: np.ndarray,
    footage: np.ndarray,
    theirs: np.ndarray,
) -> None:
    """Mix the pulled footage into the picture, and its places into the map, in place.

    The map is theirs just inside the jaw line, too, where it is worth nothing else: what is fine
    is told from what is coarse by a blur, which must not see another place's skin across the line.
    """
    left, top, width, height = cv2.boundingRect(((footage > 0) | theirs).view(np.uint8))
    here = np.s_[top : top + height, left : left + width]
    if not width:
        return
    where = places[here] - np.float32(0.5)  # OpenCV's pixel centres are at whole numbers
    fetched = cv2.remap(
        filmed.astype(np.float32), where[..., 0], where[..., 1], cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    _mix(picture[here], carried[here], fetched, places[here], footage[here], theirs[here])


@njit(cache=True, nogil=True)
def _mix(picture: Any, carried: Any, fetched: Any, places: Any, footage: Any, theirs: Any) -> None:
    level = np.float32(1 / 255)
    for row in range(picture.shape[0]):
        for column in range(picture.shape[1]):
            if theirs[row, column]:
                for axis in range(2):
                    carried[row, column, axis] = places[row, column, axis]
            share = footage[row, column]
            if share > 0:
                for channel in range(3):
                    value = picture[row, column, channel]
                    seen = fetched[row, column, channel] * level
                    picture[row, column, channel] = value + share * (seen - value)
