"""What is wanted of a head: which layers, of which frames, written where."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from metatalk.errors import ConfigError, MediaError
from metatalk.render.layers import LAYERS
from metatalk.stages.sources import Mixture
from metatalk.stages.stage import STAGE_NAMES
from metatalk.workspace.footage import remembered_clips
from metatalk.workspace.output import named_path, require_apart, require_output

STILLS = ("png", "exr")
CONTAINERS = (".mp4", ".m4v", ".mov", ".mkv")
# What a folder is hardly called: a picture or a video of another kind was wanted.
OTHER_MEDIA = (
    ".avi", ".gif", ".webm", ".wmv", ".mpg", ".mpeg", ".mxf", ".ts", ".mts", ".flv", ".ogv", ".3gp",
    ".png", ".jpg", ".jpeg", ".exr", ".tif", ".tiff", ".bmp", ".webp",
)  # fmt: skip


@dataclass(frozen=True)
class Order:
    """What is wanted of a head."""

    output: Path  # a video by its ending, else a folder of stills
    layers: tuple[str, ...] = ("shaded",)
    over: bool = False  # over the footage; else on black
    footage: Path | None = None  # where the footage lies; None: where it was when it was fitted
    stills: str = "png"
    frames: str | None = None  # "100-199", the last one included; None: all
    rate: Fraction | None = None  # frames a second; None: the clip's

    def __post_init__(self) -> None:
        object.__setattr__(self, "output", named_path(self.output))
        for name in self.layers or ("",):
            if name not in LAYERS:
                raise ConfigError(f"no layer {name!r}", f"layers: {', '.join(LAYERS)}")
        if self.stills not in STILLS:
            raise ConfigError(f"no stills of kind {self.stills!r}", f"use {' or '.join(STILLS)}")
        if self.over and not self.is_video and self.stills == "exr":
            raise ConfigError(
                "OpenEXR files hold the layers' own values, which do not go over footage",
                "leave out --over, or write PNG or a video",
            )
        if self.rate is not None and self.rate <= 0:
            raise ConfigError(f"--fps is {self.rate}", "give a number above 0")
        if self.over and self.rate is not None:
            raise ConfigError("--fps does not go over footage, which has its own", "leave it out")
        if self.output.suffix.lower() in OTHER_MEDIA:
            raise ConfigError(
                f"{self.output}: no such files are written",
                f"end a video in {', '.join(CONTAINERS)}; "
                "for stills give a folder's name, and --as png or --as exr",
            )

    @property
    def is_video(self) -> bool:
        """Whether the output is a video, or one for each layer."""
        return self.output.suffix.lower() in CONTAINERS

    def video_path(self, layer: str) -> Path:
        """Where a layer's video goes: the output itself where it is the only one."""
        if len(self.layers) == 1:
            return self.output
        return self.output.with_suffix(f".{layer}{self.output.suffix}")


def parse_frames(text: str | None, count: int) -> range:
    """Read which frames are wanted.

    Args:
        text: "100-199" with both ends included, "100-", "-199" or "100"; None: all.
        count: frames there are.

    Returns:
        Their numbers.

    Raises:
        ConfigError: it cannot be read, or names a frame that is not there.

    >>> parse_frames("2-4", 10)
    range(2, 5)
    """
    if text is None:
        return range(count)
    first, dash, last = (part.strip() for part in text.partition("-"))
    try:
        start = int(first or 0)
        end = (int(last) if last else count - 1) if dash else start
    except ValueError as error:
        raise ConfigError(f"--frames {text}: not frames", "write them as 100-199") from error
    if dash and first and last and start > end:
        raise ConfigError(
            f"--frames {text}: the first frame comes after the last", f"write {end}-{start}"
        )
    if not (0 <= start <= end < count) or not (first or last):
        raise ConfigError(
            f"--frames {text}: there are frames 0 to {count - 1}",
            "name frames among these",
        )
    return range(start, end + 1)


def require_free(order: Order, mixture: Mixture, *more: Path) -> None:
    """Check that the output replaces nothing that it is made from, nor a part of an actor.

    Args:
        order: names the output.
        mixture: what is drawn.
        more: further files that it must not replace.

    Raises:
        MediaError: it would, or cannot be written.
    """
    roots = [source.root for source in mixture.sources if source.root is not None]
    require_apart(order.output, STAGE_NAMES, roots)
    if order.is_video:
        clips = [clip for root in roots for clip in remembered_clips(root)]
        for layer in order.layers:
            require_output(order.video_path(layer), [*mixture.files, *clips, *more])
        return
    folder = order.output
    if folder.exists() and not folder.is_dir():
        raise MediaError(
            f"{folder} is a file, and stills go into a folder",
            f"give -o another name, or one ending in {CONTAINERS[0]} for a video",
        )
    require_output(folder / "a" if folder.exists() else folder, [])
