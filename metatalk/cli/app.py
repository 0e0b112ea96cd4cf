"""The commands. Heavy rooms are imported where they are used, so that --help is quick."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import typer

import metatalk
from metatalk.cli import terminal
from metatalk.cli.doctor import examine, show_findings
from metatalk.config import Config, load_config, preset_names
from metatalk.errors import ConfigError, MissingAssetError
from metatalk.stages.stage import STAGE_NAMES
from metatalk.workspace.actor import disk_errors_remedied
from metatalk.workspace.consent import find_consented, footage_entry, read_consent
from metatalk.workspace.digest import digest_file
from metatalk.workspace.ledger import Entry, read_ledger, record_footage
from metatalk.workspace.output import require_output

app = typer.Typer(
    help="Learn one actor from a clip and make that actor say anything.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

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
Verbose = Annotated[int, typer.Option("--verbose", "-v", count=True, help="Log what is done.")]
Json = Annotated[bool, typer.Option("--json", help="Print the metrics as JSON, nothing else.")]


def main(argv: Sequence[str] | None = None, last: str | None = None) -> int:
    """Run the command line.

    Args:
        argv: the words after the program's name; None: those of this process.
        last: run the stages up to this one, as `metatalk stage LAST` does; the thin scripts
            in tools/ are this and no more.

    Returns:
        Exit code: 0; 2 for what the user can mend; 130 when interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    command = typer.main.get_command(app)
    try:
        command.main([*(["stage", last] if last else []), *words], prog_name="metatalk")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"metatalk {metatalk.__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print it.")
    ] = False,
) -> None:
    del version


@app.command()
@terminal.answering_errors
def train(
    clip: Clip,
    words: Words = None,
    *,
    actor: Actor,
    preset: Preset = None,
    config: ConfigFile = None,
    rerun: Rerun = None,
    face: Face = None,
    consent: ConsentFile = None,
    verbose: Verbose = 0,
    as_json: Json = False,
) -> None:
    """Learn the actor in CLIP. Run again to go on; what is done is kept."""
    terminal.set_up_logging(verbose)
    settings = _settings(preset, config, _with_face(words, face), actor)
    _train(clip, actor, settings, rerun, None, consent, as_json)


@app.command()
@terminal.answering_errors
def stage(
    name: Annotated[
        str, typer.Argument(help=", ".join(STAGE_NAMES), metavar="NAME", show_default=False)
    ],
    clip: Clip,
    words: Words = None,
    *,
    actor: Actor,
    preset: Preset = None,
    config: ConfigFile = None,
    rerun: Rerun = None,
    face: Face = None,
    consent: ConsentFile = None,
    verbose: Verbose = 0,
    as_json: Json = False,
) -> None:
    """Run the stages of training up to NAME and stop there."""
    terminal.set_up_logging(verbose)
    if name not in STAGE_NAMES:
        raise ConfigError(f"no stage {name!r}", f"stages: {', '.join(STAGE_NAMES)}")
    settings = _settings(preset, config, _with_face(words, face), actor)
    _train(clip, actor, settings, rerun, name, consent, as_json)


@app.command()
@terminal.answering_errors
def drive(
    actor: Annotated[Path, typer.Argument(help="The actor's folder.", metavar="DIR")],
    audio: Annotated[Path, typer.Argument(help="What to say.", metavar="AUDIO")],
    words: Words = None,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The video to write.", metavar="OUT.mp4")
    ],
    target: Annotated[
        Path | None,
        typer.Option(
            help="Another clip of the actor to re-voice; else the footage.", metavar="CLIP"
        ),
    ] = None,
    length: Annotated[
        Literal["audio", "video"] | None, typer.Option(help="Which one ends the result.")
    ] = None,
    preset: Preset = None,
    config: ConfigFile = None,
    rerun: Rerun = None,
    face: Face = None,
    verbose: Verbose = 0,
    as_json: Json = False,
) -> None:
    """Make the actor in DIR say AUDIO."""
    terminal.set_up_logging(verbose)
    _require_files(audio, *([target] if target else []))
    if not actor.is_dir():
        raise MissingAssetError(
            f"{actor}: no such actor", f"make it: metatalk train CLIP --actor {actor}"
        )
    more = [f"drive.length={length}"] if length else []
    # Which face it was in the training clip says nothing about another clip.
    settings = _settings(
        preset, config, ["landmarks.face=null", *_with_face(words, face), *more], actor
    )
    with terminal.stdout_kept_clean(as_json):
        from metatalk.stages.drive import drive_actor

        metrics = drive_actor(
            actor=actor,
            audio=audio,
            output=output,
            target=target,
            config=settings,
            rerun=_names(rerun),
            progress_factory=terminal.bars(),
        )
    terminal.show_values(metrics, as_json)


@app.command()
@terminal.answering_errors
def evaluate(
    real: Annotated[Path, typer.Argument(help="The real footage.", metavar="REAL")],
    generated: Annotated[Path, typer.Argument(help="The result.", metavar="GENERATED")],
    *,
    report: Annotated[
        Path | None, typer.Option("--report", "-o", help="Write a report.", metavar="FILE.md")
    ] = None,
    verbose: Verbose = 0,
    as_json: Json = False,
) -> None:
    """Score GENERATED against the REAL footage of the same words."""
    terminal.set_up_logging(verbose)
    _require_files(real, generated)
    if report is not None:
        require_output(report, [real, generated])
    with terminal.stdout_kept_clean(as_json):
        from metatalk.evaluate.dub import evaluate_dub
        from metatalk.evaluate.report import to_markdown

        scores = evaluate_dub(real, generated)
    if report is not None:
        with disk_errors_remedied(report.parent):
            report.write_text(to_markdown(scores), encoding="utf-8")
    terminal.show_values(scores, as_json)


@app.command()
@terminal.answering_errors
def doctor(words: Words = None, *, verbose: Verbose = 0, as_json: Json = False) -> None:
    """Say what is installed and found, and what each missing thing would add."""
    terminal.set_up_logging(verbose)
    show_findings(examine(load_config(words=words or [])), as_json)


def _train(
    clip: Path,
    actor: Path,
    settings: Config,
    rerun: Sequence[str] | None,
    last: str | None,
    consent: Path | None,
    as_json: bool,
) -> None:
    _require_files(clip)
    entry = _footage_entry(clip, actor, consent)
    with terminal.stdout_kept_clean(as_json):
        from metatalk.stages.train import train_actor

        metrics = train_actor(
            clip=clip,
            actor=actor,
            config=settings,
            rerun=_names(rerun),
            progress_factory=terminal.bars(),
            last=last,
        )
    # Not before: a run that is refused has used no footage.
    with disk_errors_remedied(actor):
        record_footage(actor, entry)
    terminal.show_stages(metrics, as_json)


def _settings(preset: str | None, file: Path | None, words: Sequence[str], actor: Path) -> Config:
    if preset is None and file is None:
        own = actor / "config.json"
        file, preset = (own, None) if own.is_file() else (None, DEFAULT_PRESET)
    elif preset is not None and preset not in preset_names() and preset != "tiny":
        raise ConfigError(f"no preset {preset!r}", f"presets: {', '.join(preset_names())}")
    return load_config(preset, file, words)


def _with_face(words: Sequence[str] | None, face: int | None) -> list[str]:
    return [*(words or []), *([f"landmarks.face={face}"] if face is not None else [])]


def _footage_entry(clip: Path, actor: Path, consent: Path | None) -> Entry:
    """The ledger's line about the clip; a consent on record is kept, and its lack is said."""
    granted = read_consent(consent) if consent else None
    digest = digest_file(clip)
    known = None if granted else find_consented(read_ledger(actor), digest)
    if known is not None:
        return replace(known, name=clip.name)
    return footage_entry(clip, digest, granted, date.today())


def _names(given: Sequence[str] | None) -> frozenset[str]:
    return frozenset(name for words in given or [] for name in words.split(",") if name)


def _require_files(*paths: Path) -> None:
    for path in paths:
        if not path.is_file():
            what = "is a folder, not a file" if path.is_dir() else "no such file"
            raise MissingAssetError(f"{path}: {what}", "check the path")
