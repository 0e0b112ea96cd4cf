"""What is asked of a drive: who says what, over which footage, and what is to be written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metatalk.errors import ConfigError, MediaError
from metatalk.interchange.ranges import SUBTITLES
from metatalk.stages.performer import Performer
from metatalk.stages.script import Script

PREVIEW_S = 3.0  # how long a preview lasts


@dataclass(frozen=True)
class DriveOrder:
    """One drive.

    Args:
        actor: the actor folder, trained.
        output: the video to write, or the folder of a picture sequence.
        audio: the recording, any audio or video file; None: the performer's sound.
        target: another clip of the actor to show; None: the training clip.
        expression: edited curves that move the lower face in place of the recording's words.
        performer: a clip whose face moves the actor's in place of the recording's words.
        script: what is known of the recording's words.
        segments: the only parts that get a new mouth: times with commas, or an .srt file.
        changed_from: the recording as it was; only where the new one differs is there a new mouth.
        preview: make three seconds only, from this moment of the result on.
        patch: where the new mouth is also written alone, with alpha; None: nowhere.
        markers: files for the places to review: .edl, .fcpxml, .otio, .csv.
        plot: a picture of the path through the footage; None: none.

    Raises:
        ConfigError: nothing to say, or two things said of the same.
        MediaError: two outputs in one place.
    """

    actor: Path
    output: Path
    audio: Path | None = None
    target: Path | None = None
    expression: Path | None = None
    performer: Performer | None = None
    script: Script = Script()
    segments: str | None = None
    changed_from: Path | None = None
    preview: str | None = None
    patch: Path | None = None
    markers: tuple[Path, ...] = ()
    plot: Path | None = None

    def __post_init__(self) -> None:
        if self.audio is None and self.performer is None:
            raise ConfigError("there is nothing to say", "give AUDIO, or --expression-from CLIP")
        if self.segments is not None and self.changed_from is not None:
            raise ConfigError(
                "both --segments and --changed-from say which parts are new", "leave one out"
            )
        if self.changed_from is not None and self.audio is None:
            raise ConfigError(
                "--changed-from compares two recordings, and only one is given", "give AUDIO"
            )
        places = [path.resolve() for path in self.outputs]
        if len(set(places)) < len(places):
            raise MediaError("two outputs have one name", "give each a name of its own")

    @property
    def is_partial(self) -> bool:
        """Whether only parts of the film get a new mouth."""
        return self.segments is not None or self.changed_from is not None

    @property
    def subtitles(self) -> Path | None:
        """The file whose cues are the segments, where there is one."""
        words = (self.segments or "").strip()
        return Path(words) if words.lower().endswith(SUBTITLES) else None

    @property
    def clips(self) -> list[Path | None]:
        """The clips of people that are given beside the training clip."""
        return [self.target, self.performer.clip if self.performer else None]

    @property
    def sources(self) -> list[Path]:
        """Every file that is read, as far as it is named; none may be written over."""
        named = [self.audio, self.expression, self.changed_from, self.script.phones, *self.clips]
        named += [self.subtitles, self.script.file]
        return [path for path in named if path is not None]

    @property
    def options(self) -> dict[Path, str]:
        """Every file that is written, and what names it on a command line."""
        named = {self.output: "-o"}
        if self.patch is not None:
            named[self.patch] = "--patch"
        if self.plot is not None:
            named[self.plot] = "--plot"
        return named | dict.fromkeys(self.markers, "--markers")

    @property
    def outputs(self) -> list[Path]:
        """Every file that is written."""
        more = [self.patch, *self.markers, self.plot]
        return [self.output, *(path for path in more if path is not None)]
