"""The light of an HDR film: of the screen it was graded on, and of its brightest places."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame

# FFmpeg's AVMasteringDisplayMetadata: fractions x and y of red, green, blue and white, the least
# and the greatest light, and whether colours and light are known.
_MASTERING = struct.Struct("=22i")
_LIGHT = struct.Struct("=II")
_CHROMATICITY, _LUMINANCE = 50000, 10000  # steps in a unit, SMPTE ST 2086 as HEVC stores it


@dataclass(frozen=True)
class HdrTags:
    """Static HDR metadata.

    Args:
        primaries: x, y of red, green and blue, then of white, of the grading screen, CIE 1931;
            None: not stated.
        luminance: least and greatest light of that screen, cd/m2; None: not stated.
        content: greatest light of a pixel and greatest mean light of a frame, cd/m2; None: not
            stated.

    Source: SMPTE ST 2086; CTA-861.3.
    """

    primaries: tuple[float, ...] | None = None
    luminance: tuple[float, float] | None = None
    content: tuple[int, int] | None = None

    def x265_parameters(self) -> list[str]:
        """The same in x265's words."""
        words = []
        if self.primaries is not None and self.luminance is not None:
            rx, ry, gx, gy, bx, by, wx, wy = (round(_CHROMATICITY * v) for v in self.primaries)
            low, high = (round(_LUMINANCE * v) for v in self.luminance)
            words.append(
                f"master-display=G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({high},{low})"
            )
        if self.content is not None:
            words.append(f"max-cll={self.content[0]},{self.content[1]}")
        return words


def hdr_tags(frame: VideoFrame) -> HdrTags | None:
    """What a decoded frame says about HDR; None where it says nothing."""
    primaries = luminance = content = None
    screen = frame.side_data.get(SideDataType.MASTERING_DISPLAY_METADATA)  # type: ignore[call-overload]
    if screen is not None and len(bytes(screen)) == _MASTERING.size:
        numbers = _MASTERING.unpack(bytes(screen))
        values = [
            above / max(below, 1)
            for above, below in zip(numbers[0:20:2], numbers[1:20:2], strict=True)
        ]
        primaries = tuple(values[:8]) if numbers[20] else None
        luminance = (values[8], values[9]) if numbers[21] else None
    light = frame.side_data.get(SideDataType.CONTENT_LIGHT_LEVEL)  # type: ignore[call-overload]
    if light is not None and len(bytes(light)) == _LIGHT.size:
        content = _LIGHT.unpack(bytes(light))
    if primaries is luminance is content is None:
        return None
    return HdrTags(primaries, luminance, content)
