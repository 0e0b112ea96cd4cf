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
from metatalk.cli.options import (
    Actor,
    Clip,
    ConfigFile,
    ConsentFile,
    Face,
    Json,
    Preset,
    Prior,
    Rerun,
    Safe,
    Verbose,
    Words,
    is_stream,
    names,
    recording_or_word,
    refuse_for_streams,
    require_files,
    require_something_to_say,
    require_words_of,
    settings,
    with_face,
    with_prior,
    with_safe,
)
from metatalk.config import Config, load_config
from metatalk.errors import ConfigError, MissingAssetError
from metatalk.stages.stage import STAGE_NAMES
from metatalk.workspace.actor import disk_errors_remedied
from metatalk.workspace.consent import (
    consent_path,
    find_consented,
    footage_entry,
    read_consent,
)
from metatalk.workspace.digest import digest_file
from metatalk.workspace.ledger import Entry, read_ledger, record_footage
from metatalk.workspace.manifest import Metrics
from metatalk.workspace.output import require_output

app = typer.Typer(
    help="Learn one actor from a clip and make that actor say anything.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
    prior: Prior = None,
    safe: Safe = False,
    verbose: Verbose = 0,
    as_json: Json = False,
) -> None:
    """Learn the actor in CLIP. Run again to go on; what is done is kept."""
    terminal.set_up_logging(verbose)
    more = with_safe(with_prior(with_face(words, face), prior), safe)
    chosen = settings(preset, config, more, actor)
    train_up_to(clip, actor, chosen, rerun, None, consent, as_json)


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
    safe: Safe = False,
    verbose: Verbose = 0,
    as_json: Json = False,
) -> None:
    """Run the stages of training up to NAME and stop there."""
    terminal.set_up_logging(verbose)
    if name not in STAGE_NAMES:
        raise ConfigError(f"no stage {name!r}", f"stages: {', '.join(STAGE_NAMES)}")
    chosen = settings(preset, config, with_safe(with_face(words, face), safe), actor)
    train_up_to(clip, actor, chosen, rerun, name, consent, as_json)


@app.command()
@terminal.answering_errors
def drive(
    actor: Annotated[Path, typer.Argument(help="The actor's folder.", metavar="DIR")],
    audio: Annotated[
        Path | None,
        typer.Argument(
            help="What to say; with --expression-from, what is heard in place of CLIP's sound.",
            metavar="[AUDIO]",
            show_default=False,
        ),
    ] = None,
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
    expression: Annotated[
        Path | None,
        typer.Option(
            help="Edited curves that move the mouth in place of AUDIO's words.", metavar="FILE"
        ),
    ] = None,
    expression_from: Annotated[
        Path | None,
        typer.Option(
            help="Another performance, whose mouth the actor's follows in place of AUDIO's words.",
            metavar="CLIP",
        ),
    ] = None,
    other_person: Annotated[
        bool,
        typer.Option(
            "--other-person",
            help="--expression-from shows somebody else: fit the actor's range to theirs.",
        ),
    ] = False,
    performer_face: Annotated[
        int | None,
        typer.Option(
            help="Which face of --expression-from, where there are several.", metavar="N", min=0
        ),
    ] = None,
    phones: Annotated[
        Path | None,
        typer.Option(
            help="A TextGrid of AUDIO's phones: lips close when it says.", metavar="FILE.TextGrid"
        ),
    ] = None,
    transcript: Annotated[
        str | None,
        typer.Option(
            help="What AUDIO says, in English, or a file of it: lips close on time.",
            metavar="TEXT|FILE",
        ),
    ] = None,
    length: Annotated[
        Literal["audio", "video"] | None, typer.Option(help="Which one ends the result.")
    ] = None,
    preset: Preset = None,
    config: ConfigFile = None,
    rerun: Rerun = None,
    face: Face = None,
    safe: Safe = False,
    verbose: Verbose = 0,
    as_json: Json = False,
) -> None:
    """Make the actor in DIR say AUDIO (- or a pipe: live), or do what is done in another clip."""
    terminal.set_up_logging(verbose)
    audio, words = recording_or_word(audio, words)
    if is_stream(audio):
        from metatalk.cli.live import live

        refuse_for_streams(
            expression=expression,
            expression_from=expression_from,
            length=length,
            phones=phones,
            transcript=transcript,
            other_person=other_person or None,
            performer_face=performer_face,
        )
        live(
            actor, str(audio), words, output=str(output), target=target, preset=preset,
            config=config, rerun=rerun, face=face, safe=safe, verbose=verbose, as_json=as_json,
        )  # fmt: skip
        return
    require_something_to_say(audio, expression_from, other_person, performer_face)
    require_words_of(expression_from, phones, transcript)
    named = (audio, target, expression, expression_from, phones)
    require_files(*(path for path in named if path))
    if not actor.is_dir():
        raise MissingAssetError(
            f"{actor}: no such actor", f"make it: metatalk train CLIP --actor {actor}"
        )
    more = [f"drive.length={length}"] if length else []
    # Which face it was in the training clip says nothing about another clip.
    more = ["landmarks.face=null", *with_safe(with_face(words, face), safe), *more]
    chosen = settings(preset, config, more, actor)
    with terminal.stdout_kept_clean(as_json):
        from metatalk.stages.drive import drive_actor
        from metatalk.stages.performer import Performer
        from metatalk.stages.script import Script, read_transcript

        script = Script(phones, read_transcript(transcript) if transcript else None)
        performer = None
        if expression_from:
            performer = Performer(expression_from, other_person, performer_face)
        metrics = drive_actor(
            actor=actor,
            audio=audio,
            output=output,
            target=target,
            config=chosen,
            rerun=names(rerun),
            progress_factory=terminal.bars(),
            expression=expression,
            performer=performer,
            script=script,
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
    require_files(real, generated)
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


def train_up_to(
    clip: Path,
    actor: Path,
    chosen: Config,
    rerun: Sequence[str] | None,
    last: str | None,
    consent: Path | None,
    as_json: bool,
) -> None:
    """Run the stages of training on a clip, put the clip on record and print the metrics.

    Arguments and errors are those of `learn_up_to`.
    """
    metrics = learn_up_to(clip, actor, chosen, rerun, last, consent, as_json)
    terminal.show_stages(metrics, as_json)


def learn_up_to(
    clip: Path,
    actor: Path,
    chosen: Config,
    rerun: Sequence[str] | None,
    last: str | None,
    consent: Path | None,
    as_json: bool,
) -> dict[str, Metrics]:
    """Run the stages of training on a clip and put the clip on record.

    Args:
        clip: the footage.
        actor: the actor's folder.
        chosen: all settings.
        rerun: stages to make anew, as given on the command line.
        last: the stage to stop after; None: all.
        consent: a consent record.
        as_json: a machine reads standard output.

    Returns:
        The metrics of each stage.

    Raises:
        MetatalkError: whatever the user can mend.
    """
    require_files(clip)
    entry = _footage_entry(clip, actor, consent)
    with terminal.stdout_kept_clean(as_json):
        from metatalk.stages.train import train_actor

        metrics = train_actor(
            clip=clip,
            actor=actor,
            config=chosen,
            rerun=names(rerun),
            progress_factory=terminal.bars(),
            last=last,
            footage=entry,
        )
    # Not before: a run that is refused has used no footage.
    with disk_errors_remedied(actor):
        record_footage(actor, entry)
    return metrics


def _footage_entry(clip: Path, actor: Path, consent: Path | None) -> Entry:
    """The ledger's line about the clip; a consent on record is kept, and its lack is said."""
    granted = read_consent(consent) if consent else None
    digest = digest_file(clip)
    is_given = granted is not None or consent_path(clip).is_file()
    known = None if is_given else find_consented(read_ledger(actor), digest)
    if known is not None:
        return replace(known, name=clip.name)
    return footage_entry(clip, digest, granted, date.today())
