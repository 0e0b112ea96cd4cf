"""Options that several commands share, and what they mean."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from metatalk.config import Config, load_config, preset_names
from metatalk.errors import ConfigError, MissingAssetError, StaleArtefactError

DEFAULT_PRESET = "standard"

Words = Annotated[
    list[str] | None,
    typer.Argument(help="Settings such as neural.minutes=10.", metavar="[KEY=VALUE]..."),
]
Clip = Annotated[Path, typer.Argument(help="Footage of one speaking person.", metavar="CLIP")]
Actor = Annotated[Path, typer.Option("--actor", help="The actor's folder.", metavar="DIR")]
Preset = Annotated[
    str | None,
    typer.Option(
        help="draft, standard or studio; without it the actor's own settings, else standard."
    ),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="A YAML file of settings.", metavar="FILE")
]
Rerun = Annotated[
    list[str] | None,
    typer.Option(help="Make these stages anew: names with commas, or all.", metavar="STAGE"),
]
Face = Annotated[
    int | None, typer.Option(help="Which face, where there are several.", metavar="N", min=0)
]
ConsentFile = Annotated[
    Path | None, typer.Option(help="Who allowed it: a JSON file (docs/data.md).", metavar="FILE")
]
Prior = Annotated[
    Path | None,
    typer.Option(
        "--prior", help="What many actors have in common, to begin with (metatalk prior train).",
        metavar="FILE",
    ),
]  # fmt: skip
Safe = Annotated[
    bool,
    typer.Option(
        "--commercial-safe",
        help="Refuse, before any work, what is not known to allow commercial use.",
    ),
]
_MOUTH = "The mouth"
Amplitude = Annotated[
    float | None,
    typer.Option(
        help="How far it moves, 0 to 3: 1 as predicted.", metavar="SHARE", rich_help_panel=_MOUTH
    ),
]
Smoothing = Annotated[
    float | None,
    typer.Option(
        help="Calm it by a filter so long, 0 to 1; live comes one and a half of that later.",
        metavar="SECONDS", rich_help_panel=_MOUTH,
    ),
]  # fmt: skip
Consonants = Annotated[
    float | None,
    typer.Option(
        help="Raise its quick movements, 0 to 2: 1 doubles them; live comes 0.1 s later.",
        metavar="SHARE", rich_help_panel=_MOUTH,
    ),
]  # fmt: skip
Verbose = Annotated[int, typer.Option("--verbose", "-v", count=True, help="Log what is done.")]
Json = Annotated[bool, typer.Option("--json", help="Print the metrics as JSON, nothing else.")]


def settings(preset: str | None, file: Path | None, words: Sequence[str], actor: Path) -> Config:
    """Put a command's settings together.

    Args:
        preset: asked for; None: the actor's own settings where it has some, else the default.
        file: a YAML file of settings.
        words: `key=value`.
        actor: the actor's folder.

    Returns:
        The configuration.

    Raises:
        ConfigError: no such preset, or a setting that is not one.
        StaleArtefactError: the actor's own settings are of another version of metatalk.
    """
    own = None
    if preset is None and file is None:
        if (actor / "config.json").is_file():
            file = own = actor / "config.json"
        else:
            preset = DEFAULT_PRESET
    elif preset is not None and preset not in preset_names() and preset != "tiny":
        raise ConfigError(f"no preset {preset!r}", f"presets: {', '.join(preset_names())}")
    try:
        return load_config(preset, file, words)
    except ConfigError as error:
        if own is None or _is_current(own):
            raise
        raise StaleArtefactError(
            f"{own} was written by another version of metatalk ({error.problem})",
            "name a preset, and make the stages that it names anew: metatalk train CLIP "
            f"--actor {actor} --preset standard --rerun STAGES",
        ) from error


def drive_settings(
    preset: str | None,
    file: Path | None,
    words: Sequence[str] | None,
    face: int | None,
    safe: bool,
    options: Mapping[str, object],
    actor: Path,
) -> Config:
    """Put the settings together of a command that shows an actor who is trained.

    Args:
        preset: see `settings`.
        file: see `settings`.
        words: `key=value`.
        face: which face of the clip that is shown. Which it was in the training clip says
            nothing about another one.
        safe: refuse what is not known to allow commercial use.
        options: what options set, by key; they win over words.
        actor: the actor's folder.

    Returns:
        The configuration.

    Raises:
        MissingAssetError: there is no such actor.
        ConfigError: no such preset, or a setting that is not one.
        StaleArtefactError: the actor's own settings are of another version of metatalk.
    """
    if not actor.is_dir():
        raise MissingAssetError(
            f"{actor}: no such actor", f"make it: metatalk train CLIP --actor {actor}"
        )
    more = ["landmarks.face=null", *with_safe(with_face(words, face), safe), *with_values(options)]
    return settings(preset, file, more, actor)


def mouth_options(
    amplitude: float | None, smoothing: float | None, consonants: float | None
) -> dict[str, object]:
    """What the options of the mouth set, by key."""
    return {
        "drive.mouth.amplitude": amplitude,
        "drive.mouth.smoothing_s": smoothing,
        "drive.mouth.consonants": consonants,
    }


def _is_current(own: Path) -> bool:
    """Whether an actor's settings, without further words, are such as this version knows."""
    try:
        load_config(None, own, [])
    except ConfigError:
        return False
    return True


def with_face(words: Sequence[str] | None, face: int | None) -> list[str]:
    """The words, and after them the face that `--face` names."""
    return [*(words or []), *([f"landmarks.face={face}"] if face is not None else [])]


def with_prior(words: Sequence[str] | None, prior: Path | None) -> list[str]:
    """The words, and after them the prior that `--prior` names."""
    named = [f"a2e.prior={json.dumps(str(prior))}"] if prior is not None else []
    return [*(words or []), *named]


def with_safe(words: Sequence[str] | None, safe: bool) -> list[str]:
    """The words, and after them what `--commercial-safe` sets; without it they decide."""
    return [*(words or []), *(["commercial_safe=true"] if safe else [])]


def with_values(values: Mapping[str, object]) -> list[str]:
    """What options set, as settings: by key; None where an option is not given.

    >>> with_values({"drive.retime": "pose", "drive.length": None})
    ['drive.retime=pose']
    """
    return [f"{key}={value}" for key, value in values.items() if value is not None]


def is_setting(word: str) -> bool:
    """Whether a word among files is `key=value`, and not the name of a file that is there."""
    return "=" in word and not Path(word).exists()


def names(given: Sequence[str] | None) -> frozenset[str]:
    """What an option that may be repeated, or list names with commas, names in all."""
    return frozenset(name for words in given or [] for name in words.split(",") if name)


def require_files(*paths: Path) -> None:
    """Check that the files of a command line are there.

    Raises:
        MissingAssetError: one is not, or is a folder.
    """
    for path in paths:
        if not path.is_file():
            what = "is a folder, not a file" if path.is_dir() else "no such file"
            raise MissingAssetError(f"{path}: {what}", "check the path")


def recording_or_word(
    audio: Path | None, words: Sequence[str] | None
) -> tuple[Path | None, list[str] | None]:
    """Tell a recording, which may be left out, from the settings that follow it.

    Args:
        audio: the first word after the actor's folder.
        words: the others.

    Returns:
        The recording, where there is one, and the settings.
    """
    if audio is not None and is_setting(str(audio)):
        return None, [str(audio), *(words or [])]
    return audio, list(words) if words else None


def is_stream(audio: Path | None) -> bool:
    """Whether what is to be said is still being spoken: standard input, or a named pipe."""
    return audio is not None and (str(audio) == "-" or audio.is_fifo())


def refuse_for_streams(**options: object) -> None:
    """Check that none of the options is given that a stream has no use for.

    Args:
        options: by their names; None where they are not given.

    Raises:
        ConfigError: one is given.
    """
    for name, value in options.items():
        if value is not None:
            raise ConfigError(
                f"--{name.replace('_', '-')} has no meaning for sound that is still being spoken",
                "leave it out, or record the sound first",
            )


def require_something_to_say(
    audio: Path | None, clip: Path | None, other_person: bool, face: int | None
) -> None:
    """Check that a result is driven by something.

    Args:
        audio: a recording.
        clip: another performance.
        other_person: it shows somebody else.
        face: which face of it.

    Raises:
        ConfigError: neither is given, or something is said of a performance that is not there.
    """
    if clip is None and (other_person or face is not None):
        name = "--other-person" if other_person else "--performer-face"
        raise ConfigError(
            f"{name} says who is in a clip that is not given", "add --expression-from CLIP"
        )
    if clip is None and audio is None:
        raise ConfigError("there is nothing to say", "give AUDIO, or --expression-from CLIP")


def require_words_of(clip: Path | None, phones: Path | None, transcript: str | None) -> None:
    """Check that words are told of a recording that moves the mouth.

    Args:
        clip: another performance.
        phones: when the recording's phones are spoken.
        transcript: what it says.

    Raises:
        ConfigError: the performance moves the mouth.
    """
    if clip is not None and (phones is not None or transcript is not None):
        name = "--phones" if phones is not None else "--transcript"
        raise ConfigError(
            f"{name} tells the words of a recording, but --expression-from moves the mouth",
            f"leave {name} out",
        )
