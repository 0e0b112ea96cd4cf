"""What lies around the jaw, drawn along by it: filmed neck, beard and background.

The network knows the face that it is to draw and the mesh that carries texture ends where the face
does. Below a jaw that has moved both leave what was never filmed there, or what was filmed when
the jaw was elsewhere: a second chin, a beard without its rim. So the footage itself is pulled to
the new jaw line by a smooth warp that fades out below. Its source lies outside the filmed face
wherever its target lies outside the new one: no chin can be carried into a neck. It has no holes,
because a vacated strip is filled by stretching what lies below. Where the jaw is raised the
network keeps its say as far as a beard goes: the filmed one hangs from a chin that was drawn down,
and would be seen as a second rim below the network's. The strip just below the raised chin, where
neither footage nor mesh know anything, is held to what was filmed beside the jaw, see `jaw_strip`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
from numba import njit

from metatalk.compose.blend import DrawnFace
from metatalk.compose.jaw_config import JawConfig
from metatalk.compose.jaw_field import FIELD_PX, centres, ease, jaw_movement, read_at, resize
from metatalk.compose.jaw_strip import Strip, find_strip, hold_to_surroundings
from metatalk.render.silhouette import Outlines, outward
from metatalk.shapes import check_shape

APART = (0.05, 0.12)  # mean difference in brightness: one thing in another shade, another thing
THEIRS = 0.1  # share of the footage from which its own map counts
UNSURE = 0.3  # weight of carried texture below which another may stand in for it
INNER = 0.03  # of the crop's side: so far within the outline
RIM = 0.01  # of the crop's side: so near the mask's edge the network repeats the footage
SEAM = 0.02  # of the crop's side: over which the new face gives way to the footage
ROOM = 0.1  # of the crop's side: what is laid over the frame reaches so far beyond what moves
SEEN_PX = 0.2  # a movement by less is not seen
UNSEEN_PX, AT_PX = (
    0.5,
    256,
)  # nor one by this, at this side: it begins here and is whole by twice it


@dataclass(frozen=True, eq=False)
class JawLines:
    """Where one crop's lower faces end, see `silhouette.Outlines`."""

    shown: np.ndarray  # (S, S) uint8, 0 outside the lower face that is to be shown
    filmed: np.ndarray  # (S, S) uint8, 0 outside the one in the footage, in the same pose
    still: np.ndarray  # (S, S) bool, the part of the face that no jaw moves
    # (S, S) float32 in [0, 1]: where the shown outline is no edge the network's picture stays:
    # there the mesh itself goes on, and carries the skin beyond
    edge: np.ndarray

    def __post_init__(self) -> None:
        sizes = check_shape("shown", self.shown, "S S")
        for name in ("filmed", "still", "edge"):
            check_shape(name, getattr(self, name), "S S", **sizes)

    @classmethod
    def of(cls, outlines: Outlines, number: int) -> JawLines:
        """Those of one of the crops."""
        return cls(*(getattr(outlines, one.name)[number] for one in fields(cls)))


@dataclass(frozen=True, eq=False)
class Followed:
    """One crop's new lower face with what lies around it."""

    face: DrawnFace  # its mask takes in all that moves, its map says where that was filmed
    drawn: np.ndarray  # (S, S) float32, 1 where the network's picture is shown, 0 the footage's
    # how far it is to be seen, 0 to 1: of next to no movement all is left as it came, and what
    # comes and goes does so by shares
    share: float = 1.0

    @classmethod
    def nothing(cls, face: DrawnFace) -> Followed:
        """The face alone; what lies around it stays."""
        return cls(face, np.ones(face.mask.shape, np.float32), 0.0)


def follow_jaw(
    face: DrawnFace, filmed: np.ndarray, lines: JawLines, feather_px: float, config: JawConfig
) -> Followed:
    """Surround a new lower face with the footage, pulled to its jaw line.

    Args:
        face: of S pixels a side.
        filmed: (S, S, 3) uint8, the crop as filmed.
        lines: the jaw, as it is to be shown and as it was filmed.
        feather_px: width of the mask's soft edge, crop px.
        config: strength and reach; of strength 0 all is given back as it came.

    Returns:
        The face with its surroundings, and how far it is to be seen in place of what came.

    Raises:
        ShapeError: the arguments do not belong together.
    """
    sizes = check_shape("lines.shown", lines.shown, "S S")
    check_shape("face.mask", face.mask, "S S", **sizes)
    check_shape("filmed", filmed, "S S 3", **sizes)
    if config.strength == 0 or not all(one.any() for one in (face.mask, lines.shown, lines.filmed)):
        return Followed.nothing(face)
    pulled = jaw_movement(lines.shown, lines.filmed, lines.still, lines.edge, filmed, config)
    distance, movement = pulled.distance, pulled.movement
    begun = float(ease(np.abs(movement).max() * AT_PX / sizes["S"] / UNSEEN_PX - 1.0))
    if begun == 0:
        return Followed.nothing(face)
    own_px = np.float32(config.hold * sizes["S"]) * pulled.own
    agreed = _agreement(face.picture, filmed, face.mask, distance - own_px, movement)
    movement, trust = movement * agreed[..., None], pulled.trust * agreed
    strip = find_strip(pulled, movement, face.mask)
    wider = _widen(face.mask, movement, trust, lines.still)
    own = pulled.own * (1.0 - ease(distance / (SEAM * sizes["S"]) - config.hold / SEAM))
    footage = _footage_share(distance, own, trust, face.mask, wider, feather_px)
    near = (distance > -np.float32(INNER * sizes["S"])) & (trust > 0.5)
    passed, theirs = _whose_texture(face.passed, footage, near, strip)
    picture, carried = face.picture.copy(), face.carried.copy()
    hold_to_surroundings(picture, filmed, pulled.from_filmed, strip)
    _surround(picture, carried, filmed, strip.places, footage, theirs)
    return Followed(DrawnFace(picture, wider, carried, passed), 1.0 - footage, begun)


def _whose_texture(
    passed: np.ndarray | None, footage: np.ndarray, near: np.ndarray, strip: Strip
) -> tuple[np.ndarray | None, np.ndarray]:
    """(S, S) weight of the fine band, and (S, S) bool: where it is the pulled footage's.

    A pixel has one place whose fine band it gets: of the two that are mixed, the greater's.
    """
    if passed is None:
        return None, footage > THEIRS
    kept = passed * (1.0 - footage)
    theirs = (footage > THEIRS) & (footage > kept)
    weight = np.where(theirs, footage + kept * (passed < UNSURE), kept)
    theirs |= (near & (passed < UNSURE)) | (strip.share > weight)
    return np.maximum(weight, strip.share), theirs


def _agreement(
    picture: np.ndarray,
    filmed: np.ndarray,
    mask: np.ndarray,
    beyond: np.ndarray,
    movement: np.ndarray,
) -> np.ndarray:
    """(S, S) float32: 0 where pulled footage and the network's picture are of different things.

    A beard's rim or a shadow is a little darker or lighter than what the network has drawn; a
    collar that would be drawn over the neck is another thing altogether. They are compared beyond
    what the network shows in any case.
    """
    size = len(mask)
    side = min(FIELD_PX, size)
    scale = np.float32(side / size)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    seen = resize(cv2.cvtColor(filmed, cv2.COLOR_RGB2GRAY), side).astype(np.float32) / 255
    pulled = read_at(seen, centres(side) + scale * resize(movement, side))
    drawn = ((mask > 0) & (beyond > 0)).astype(np.float32)
    weight = resize(drawn, side)
    apart = np.abs(resize(grey, side) - pulled) * weight
    local = cv2.GaussianBlur(apart, (0, 0), 1.5) / (cv2.GaussianBlur(weight, (0, 0), 1.5) + 0.05)
    # A jaw that is lowered covers what lies below; one that is raised draws it out.
    away = outward(scale * resize(beyond, side))
    raised = (resize(movement, side) * away).sum(-1) / (SEEN_PX * 5)
    wrong = ease((local - APART[0]) / (APART[1] - APART[0])) * ease(raised)
    wide = cv2.dilate(wrong, np.ones((7, 7), np.uint8))
    return 1.0 - resize(cv2.GaussianBlur(wide, (0, 0), 2.0), size)


def _footage_share(
    distance: np.ndarray,
    own: np.ndarray,
    trust: np.ndarray,
    mask: np.ndarray,
    wider: np.ndarray,
    feather_px: float,
) -> np.ndarray:
    """(S, S) float32: how much of each pixel is the pulled footage.

    All of it outside the jaw line or, where the network's own surroundings are shown, outside its
    mask: there it has drawn nothing that is meant to be seen.
    """
    seam = np.float32(SEAM * len(mask))
    depth = cv2.distanceTransform((mask > 0).astype(np.uint8), cv2.DIST_L2, 3)
    within = ease((depth - np.float32(RIM * len(mask))) / seam - 1.0)
    share = trust * ease(distance / seam) * (1.0 - own * within)
    added = (wider > 0) & (mask == 0)
    if added.any():
        away = cv2.distanceTransform((~added).astype(np.uint8), cv2.DIST_L2, 3)
        width = seam + (1.0 - trust) * np.float32(2 * feather_px)
        share = 1.0 - (1.0 - share) * ease((away - 0.5) / width)
    share[(wider == 0)] = 0.0
    return share


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
