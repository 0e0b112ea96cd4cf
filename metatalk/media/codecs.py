"""The formats a film can be written in, and how each encoder is asked for it.

ProRes holds limited range only, and DNxHR is written by FFmpeg with the matrix of BT.709 in
every frame; what is done about either stands with `Encoding`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Final

import av

from metatalk.errors import MediaError
from metatalk.media.colour import BT601, BT709, UNSPECIFIED, ColourTags
from metatalk.media.hdr import HdrTags

SEQUENCES: Final = ("png", "tiff", "exr")
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".mxf": "mxf"}
MXF_RATES = frozenset(
    Fraction(whole * 1000, thousandths)
    for thousandths in (1000, 1001)
    for whole in (24, 25, 30, 48, 50, 60)
    if thousandths == 1000 or whole % 25
)
_PLAYERS, _EDITORS = (".mp4", ".m4v", ".mov", ".mkv"), (".mov", ".mkv", ".mxf")
_ENDINGS = {
    "h264": _PLAYERS,
    "h265": _PLAYERS,
    "prores422hq": _EDITORS,
    "prores4444": _EDITORS,
    "dnxhr_hq": (".mov", ".mxf"),
    "dnxhr_hqx": (".mov", ".mxf"),
    "dnxhr_444": (".mov",),  # in MXF it is taken for RGB
}
_NAMES = {
    "h264": "H.264",
    "h265": "H.265",
    "prores422hq": "ProRes 422 HQ",
    "prores4444": "ProRes 4444",
    "dnxhr_hq": "DNxHR HQ",
    "dnxhr_hqx": "DNxHR HQX",
    "dnxhr_444": "DNxHR 444",
}
_ENCODERS = {"h264": "libx264", "h265": "libx265", "prores": "prores_ks", "dnxhr": "dnxhd"}
_PROFILES = {"prores422hq": "hq", "prores4444": "4444"}
_SHIFTS = {420: (1, 1), 422: (1, 0), 444: (0, 0)}
_LEAST = {"dnxhr": (256, 120)}  # columns and rows, VC-3's
# Without motion searched for parts of a macroblock, and with one B frame in place of up to three:
# three fifths of the time, the same signal-to-noise ratio, a file larger by a twentieth.
_LEANER = {"veryfast": {"x264-params": "partitions=i8x8,i4x4:bframes=1"}}
_VC3_COLOUR = 0x2C  # byte of a DNxHR frame's header, whose bits 1 and 2 name the matrix
_VC3_MATRIX = {1: 0, 9: 1, 10: 2}
_FINEST = 118  # FFmpeg's scale of quantisers, the factor 1 of ProRes's matrices


@dataclass(frozen=True)
class Encoding:
    """What a film's samples are like.

    Args:
        format: "h264", "h265", "prores422hq", "prores4444", "dnxhr_hq", "dnxhr_hqx" or
            "dnxhr_444".
        bits: of one component.
        shift: how often chroma's columns and rows are halved: (1, 1) is 4:2:0.
        has_alpha: whether there is a fourth plane, of transparency; ProRes 4444 alone has one.
        finest: whether ProRes is to spend what it takes, in place of its usual size.
    """

    format: str = "h264"
    bits: int = 8
    shift: tuple[int, int] = (1, 1)
    has_alpha: bool = False
    finest: bool = False

    @property
    def family(self) -> str:
        """ "h264", "h265", "prores" or "dnxhr"."""
        return next(name for name in _ENCODERS if self.format.startswith(name))

    @property
    def encoder(self) -> str:
        """FFmpeg's name of the encoder."""
        return _ENCODERS[self.family]

    @property
    def pixel_format(self) -> str:
        """FFmpeg's name of the samples' layout."""
        chroma = {shift: name for name, shift in _SHIFTS.items()}[self.shift]
        depth = "" if self.bits == 8 else f"{self.bits}le"
        return f"yuv{'a' if self.has_alpha else ''}{chroma}p{depth}"

    @property
    def is_intra(self) -> bool:
        """Whether every frame stands for itself."""
        return self.family in ("prores", "dnxhr")

    @property
    def is_limited(self) -> bool:
        """Whether the format knows nothing but limited range: full range is squeezed into it."""
        return self.family == "prores"


def require_fitting(path: Path, format_name: str, key: str = "drive.delivery.format") -> None:
    """Check that a result's name goes with its format.

    Args:
        path: the film, or the folder of a sequence.
        format_name: one of `drive.delivery.format`.
        key: the setting that says the format.

    Raises:
        MediaError: it does not.
    """
    suffix = path.suffix.lower()
    if format_name in SEQUENCES:
        if suffix in CONTAINERS or (path.exists() and not path.is_dir()):
            raise MediaError(
                f"{path}: numbered {format_name.upper()} pictures go into a folder,"
                " not into a file",
                f"name a folder, or choose another {key}",
            )
        return
    if suffix not in _ENDINGS[format_name]:
        raise MediaError(
            f"{path}: {_NAMES[format_name]} cannot be written as"
            f" {suffix or 'a file without suffix'!r}",
            f"name it with one of {', '.join(_ENDINGS[format_name])}, or choose another {key}",
        )


def choose_encoding(
    format_name: str,
    bits: int | None,
    chroma: int | None,
    source_bits: int,
    width: int,
    height: int,
) -> Encoding:
    """Settle how a film is encoded.

    Args:
        format_name: one of those in `Encoding`.
        bits: of one component; None: as the footage for H.264 and H.265, else the format's own.
        chroma: 420, 422 or 444, of H.264 and H.265; None: 420. An odd size becomes 444, which
            alone holds it exactly.
        source_bits: of the footage.
        width: columns.
        height: rows.

    Returns:
        The encoding.

    Raises:
        MediaError: the format cannot hold this size.
    """
    if format_name in ("h264", "h265"):
        depth = bits or (10 if source_bits > 8 else 8)
        odd = width % 2 or height % 2
        return Encoding(format_name, depth, _SHIFTS[444 if odd else chroma or 420])
    finest = format_name in ("prores4444", "dnxhr_444")
    encoding = Encoding(
        format_name, 8 if format_name == "dnxhr_hq" else 10, _SHIFTS[444 if finest else 422]
    )
    least = _LEAST.get(encoding.family, (1, 1))
    if width < least[0] or height < least[1]:
        raise MediaError(
            f"{_NAMES[format_name]} holds pictures from {least[0]}x{least[1]},"
            f" not {width}x{height}",
            "choose another drive.delivery.format",
        )
    if encoding.shift[0] and width % 2:
        raise MediaError(
            f"{_NAMES[format_name]} holds an even number of columns, not {width}",
            "choose prores4444 or h264 as drive.delivery.format",
        )
    return encoding


def encoder_options(
    encoding: Encoding, crf: float, preset: str, hdr: HdrTags | None
) -> dict[str, str]:
    """What the encoder is told.

    Args:
        encoding: the format.
        crf: rate factor of H.264 and H.265.
        preset: of H.264 and H.265.
        hdr: light of an HDR film; only H.265 takes it along.

    Returns:
        FFmpeg's options, by name.
    """
    if encoding.family == "h264":
        return {"crf": str(crf), "preset": preset, **_LEANER.get(preset, {})}
    if encoding.family == "h265":
        # Editors seek: closed groups of pictures are decoded from their own key frame.
        parameters = ["log-level=error", "open-gop=0", *(hdr.x265_parameters() if hdr else ())]
        return {"crf": str(crf), "preset": preset, "x265-params": ":".join(parameters)}
    if encoding.family == "dnxhr":
        return {"profile": encoding.format}
    options = {"profile": _PROFILES[encoding.format], "vendor": "apl0"}
    if encoding.has_alpha:
        options["alpha_bits"] = "16"
    if encoding.finest:
        options["global_quality"] = str(_FINEST)
    return options


def stated_colour(encoding: Encoding, colour: ColourTags, height: int) -> ColourTags:
    """The tags that a film bears.

    Args:
        encoding: the format. One without full range gets limited range. Readers of DNxHR take
            untagged pictures for BT.709, so there the matrix that players assume is named; and
            QuickTime names all three or none.
        colour: tags of the pictures.
        height: lines of the pictures.
    """
    if encoding.is_limited:
        colour = replace(colour, full_range=False)
    if encoding.family != "dnxhr":
        return colour
    assumed = BT601 if height < 720 else BT709
    return replace(
        colour,
        primaries=BT709 if colour.primaries == UNSPECIFIED else colour.primaries,
        transfer=BT709 if colour.transfer == UNSPECIFIED else colour.transfer,
        matrix=assumed if colour.matrix == UNSPECIFIED else colour.matrix,
    )


def state_matrix(packet: av.Packet, encoding: Encoding, colour: ColourTags) -> None:
    """Write the matrix into an encoded DNxHR frame, where FFmpeg says BT.709 whatever it is.

    Args:
        packet: one frame; changed in place. Packets of other formats stay as they are.
        encoding: the format.
        colour: its tags.

    Source: SMPTE ST 2019-1, colour volume: 0 BT.709, 1 and 2 BT.2020, 3 stated elsewhere.
    """
    if encoding.family != "dnxhr" or packet.size <= _VC3_COLOUR:
        return
    header = memoryview(packet)
    header[_VC3_COLOUR] = header[_VC3_COLOUR] & 0b11111001 | _VC3_MATRIX.get(colour.matrix, 3) << 1
