"""Settings of the file that a result is delivered as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metatalk.errors import ConfigError

Format = Literal[
    "h264",
    "h265",
    "prores422hq",
    "prores4444",
    "dnxhr_hq",
    "dnxhr_hqx",
    "dnxhr_444",
    "png",
    "tiff",
    "exr",
]
PatchFormat = Literal["auto", "prores4444", "png", "exr"]

# The depths that each format can be asked for; the others have one depth, their own.
_DEPTHS = {
    "h264": (8, 10),
    "h265": (8, 10),
    "dnxhr_hq": (8,),
    "png": (8, 16),
    "tiff": (8, 16),
    "exr": (16, 32),
}
_CHROMA = (420, 422, 444)


@dataclass(frozen=True)
class DeliveryConfig:
    """How a result is stored.

    H.264 and H.265 are squeezed by `drive.crf` and `drive.encoder_preset`; the others have one
    quality, the one that editing programs expect.
    """

    format: Format = "h264"
    # of one component; none given: h264 and h265 as the footage (8 or 10), the others their own
    bits: int | None = None
    # 420, 422 or 444, of h264 and h265; none given: 420
    chroma: int | None = None
    first_number: int | None = 0  # of the first numbered picture; none given: by the time code
    patch: PatchFormat = "auto"  # of the new mouth alone; auto: a film ProRes, a folder PNG

    def __post_init__(self) -> None:
        known = _DEPTHS.get(self.format, (10,))
        if self.bits is not None and self.bits not in known:
            raise ConfigError(
                f"drive.delivery.bits is {self.bits}, and drive.delivery.format {self.format}",
                f"give {' or '.join(str(depth) for depth in known)}, or leave it out",
            )
        if self.chroma is not None and self.format not in ("h264", "h265"):
            raise ConfigError(
                f"drive.delivery.chroma is {self.chroma}, but {self.format} has its own",
                "leave it out, or take h264 or h265",
            )
        if self.chroma not in (None, *_CHROMA):
            raise ConfigError(
                f"drive.delivery.chroma is {self.chroma}", "give 420, 422 or 444, or leave it out"
            )
        if self.first_number is not None and self.first_number < 0:
            raise ConfigError(
                f"drive.delivery.first_number is {self.first_number}", "give 0 or more"
            )
