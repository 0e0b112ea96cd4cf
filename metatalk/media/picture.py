"""One video frame, kept as planes so that pixels nobody touches stay bit-exact.

Chroma is replicated to the pixels of its block on the way to RGB and averaged over them on
the way back. These two undo each other exactly, which smoother filters do not, so a patch
that is cut out and put back leaves no trace.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from metatalk.errors import MediaError, ShapeError
from metatalk.media.colour import ColourTags
from metatalk.media.patching import blend_patch
from metatalk.media.ycc import (
    CHROMA_420,
    CHROMA_422,
    CHROMA_444,
    Planes,
    Subsampling,
    planes_to_bytes,
    planes_to_floats,
    sample_type,
    ycc_factors,
)
from metatalk.shapes import check_shape

__all__ = ["CHROMA_420", "CHROMA_422", "CHROMA_444", "Box", "Picture", "Planes", "Subsampling"]

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels; right, bottom excluded
_SAMPLINGS = (CHROMA_420, CHROMA_422, CHROMA_444)  # the coarsest that fits a plane is its own


@dataclass(frozen=True, eq=False)
class Picture:
    """One upright frame of 8 to 16 bits, its chroma 4:2:0, 4:2:2 or 4:4:4.

    Args:
        index: number of the frame in its clip, from 0.
        pts: presentation time in the clip's time base, frame 0 at 0.
        planes: y (H, W), u and v (H, W), (H, ceil(W/2)) or (ceil(H/2), ceil(W/2)), uint8
            where there are 8 bits, else uint16; C-contiguous; not to be written into.
        colour: the clip's colour tags.
        bits: bits of a sample; the highest level is 2**bits - 1.

    Raises:
        ShapeError: the chroma planes do not belong to the luma plane, or the samples' type
            not to their bits.
    """

    index: int
    pts: int
    planes: Planes
    colour: ColourTags
    bits: int = 8

    def __post_init__(self) -> None:
        if not 8 <= self.bits <= 16:
            raise ShapeError(f"a picture has 8 to 16 bits, not {self.bits}")
        for plane in self.planes:
            if plane.dtype != sample_type(self.bits):
                raise ShapeError(f"{plane.dtype} samples in a picture of {self.bits} bits")
        luma, u, v = self.planes
        check_shape("luma", luma, "H W")
        across, down = self.shift
        rows, columns = -(-self.height >> down), -(-self.width >> across)
        for plane in (u, v):
            check_shape("chroma", plane, "h w", h=rows, w=columns)

    @property
    def height(self) -> int:
        """Rows of the picture."""
        return int(self.planes[0].shape[0])

    @property
    def width(self) -> int:
        """Columns of the picture."""
        return int(self.planes[0].shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes the three planes take."""
        return sum(plane.nbytes for plane in self.planes)

    @property
    def shift(self) -> Subsampling:
        """Log2 of the columns and of the rows that share a chroma sample: (1, 1) in 4:2:0.

        A picture of one column or one row passes for the coarsest sampling that it fits.
        """
        for across, down in _SAMPLINGS:
            if self.planes[1].shape == (-(-self.height >> down), -(-self.width >> across)):
                return across, down
        return CHROMA_420

    def rgb(self, box: Box | None = None) -> np.ndarray:
        """The picture, or a part of it, as RGB bytes, whatever its own depth.

        Args:
            box: (left, top, right, bottom) in pixels, inside the picture; None for all.

        Returns:
            (h, w, 3) uint8 RGB, gamma-encoded as the clip is.

        Raises:
            MediaError: the box is empty or leaves the picture.
        """
        left, top, right, bottom = self._checked(box)
        out = np.empty((bottom - top, right - left, 3), np.uint8)
        origin = left, top
        planes_to_bytes(self.planes, self.bits, self.shift, origin, self.colour, self.height, out)
        return out

    def rgb_float(self, box: Box | None = None) -> np.ndarray:
        """The picture, or a part of it, as RGB at its full depth.

        Args:
            box: (left, top, right, bottom) in pixels, inside the picture; None for all.

        Returns:
            (h, w, 3) float32 RGB in [0, 1], gamma-encoded as the clip is: what `with_patch`
            takes. Colours beyond RGB's cube are clipped to it.

        Raises:
            MediaError: the box is empty or leaves the picture.
        """
        left, top, right, bottom = self._checked(box)
        out = np.empty((bottom - top, right - left, 3), np.float32)
        origin = left, top
        planes_to_floats(self.planes, self.bits, self.shift, origin, self.colour, self.height, out)
        return out

    def _checked(self, box: Box | None) -> Box:
        left, top, right, bottom = box or (0, 0, self.width, self.height)
        if not (0 <= left < right <= self.width and 0 <= top < bottom <= self.height):
            raise MediaError(
                f"box {box} is empty or leaves the {self.width}x{self.height} picture",
                "clip the box to the picture first",
            )
        return left, top, right, bottom

    def with_patch(self, patch: np.ndarray, alpha: np.ndarray, left: int, top: int) -> Picture:
        """This picture with a patch blended over it; everything else keeps its bits.

        Luma changes only where alpha > 0, chroma only in blocks (2x2 pixels in 4:2:0) where
        alpha > 0 somewhere. Parts of the patch that lie outside the picture are dropped.

        Args:
            patch: (h, w, 3) float32 RGB in [0, 1], gamma-encoded as `rgb` returns it.
            alpha: (h, w) float32 in [0, 1]; 0 keeps this picture, 1 takes the patch.
            left: column of the patch's first pixel, may be negative.
            top: row of the patch's first pixel, may be negative.

        Returns:
            A new picture of the same frame number, time, colour, depth and sampling.

        Raises:
            ShapeError: patch and alpha do not match.
        """
        sizes = check_shape("alpha", alpha, "h w")
        check_shape("patch", patch, "h w 3", **sizes)
        luma, u, v = (plane.copy() for plane in self.planes)
        patch = np.ascontiguousarray(patch, np.float32)
        alpha = np.ascontiguousarray(alpha, np.float32)
        factors = ycc_factors(self.colour, self.height, self.bits)
        most = np.float32((1 << self.bits) - 1)
        blend_patch(luma, u, v, *self.shift, patch, alpha, int(left), int(top), factors, most)
        return replace(self, planes=(luma, u, v))
