"""The usual colours of a face in some pictures, place by place of its surface."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from metatalk.compose.fallback.surface_grid import BLUR_PX, FACING
from metatalk.shapes import check_shape

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # BT.709
FACE_PX = 96  # the face's side in the small picture that colours are read from
_DARK_SHARE = 0.005  # of the lower face's pixels: the mouth's inside, nostrils, a beard
_DARK_FRAMES = 0.2  # of the frames: not every mouth is open


@dataclass(frozen=True, eq=False)
class FaceColours:
    """What a clip, or one shot of it, shows at K places of a face, as codes in [0, 1]."""

    colours: np.ndarray  # (K, 3) float32 RGB; nan where nothing was seen
    dark: np.ndarray  # (3,) float32 RGB of the darkest places; nan where nothing was seen

    def __post_init__(self) -> None:
        check_shape("colours", self.colours, "K 3")
        check_shape("dark", self.dark, "3")

    @property
    def is_seen(self) -> np.ndarray:
        """(K,) bool."""
        seen: np.ndarray = np.isfinite(self.colours).all(1)
        return seen


def read_face(
    picture: np.ndarray, cells: np.ndarray, normals: np.ndarray, lower: np.ndarray
) -> FaceColours:
    """Read a face's colours off one picture.

    Args:
        picture: (h, w, 3) uint8 RGB.
        cells: (K, 2) px of that picture: places of the face, inside of it or not.
        normals: (K, 3) their unit normals, camera frame.
        lower: (K,) bool: those of the lower face.

    Returns:
        The colours.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    height, width = check_shape("picture", picture, "h w 3").values()
    count = check_shape("cells", cells, "K 2")["K"]
    check_shape("normals", normals, "K 3", K=count)
    check_shape("lower", lower, "K", K=count)
    inside = ((cells >= 0) & (cells < (width, height))).all(1)
    seen = inside & (-normals[:, 2] > FACING)
    nothing = np.full((count, 3), np.nan, np.float32)
    if not (seen & lower).any():
        return FaceColours(nothing, nothing[0])
    scale = min(1.0, FACE_PX / max(float(np.ptp(cells, axis=0).max()), 1.0))
    small_size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(picture, small_size, interpolation=cv2.INTER_AREA)
    places = cells * (np.array(small_size) / (width, height))
    nothing[seen] = _read(small, places[seen])
    return FaceColours(nothing, _darkest(small, places[seen & lower]))


def _read(small: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(K, 3) float32: the soft picture's colours at (K, 2) px."""
    soft = cv2.GaussianBlur(small, (0, 0), BLUR_PX).astype(np.float32) / 255
    x, y = np.ascontiguousarray(places.T, np.float32) - np.float32(0.5)  # OpenCV's centres
    read = cv2.remap(soft, x[None], y[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    colours: np.ndarray = read[0]
    return colours


def _darkest(small: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(3,) the mean of the darkest pixels among some places."""
    area = np.zeros(small.shape[:2], np.uint8)
    outline = cv2.convexHull(np.rint(places - 0.5).astype(np.int32))
    cv2.fillConvexPoly(area, outline, (1,))
    pixels = small[area > 0].astype(np.float32) / 255
    luma = pixels @ LUMA
    darkest: np.ndarray = pixels[luma <= np.quantile(luma, _DARK_SHARE)].mean(0)
    return darkest


def usual_colours(faces: Sequence[FaceColours]) -> FaceColours:
    """The usual colours of some pictures of one face: what covers it now and then is left out.

    Args:
        faces: one for each picture, at least one.

    Returns:
        The median of what each place shows, and the dark that one picture in five reaches.
    """
    colours, dark = (
        np.stack([getattr(one, name) for one in faces]) for name in ("colours", "dark")
    )
    order = np.argsort(dark @ LUMA)  # nan last
    known = int(np.isfinite(dark).all(1).sum())
    least = dark[order[int(_DARK_FRAMES * known)]] if known else dark[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # places that no picture shows
        return FaceColours(np.nanmedian(colours, axis=0).astype(np.float32), least)
