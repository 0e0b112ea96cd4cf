"""The commands. Heavy rooms are imported where they are used, so that --help is quick."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated

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
    names,
    require_files,
    settings,
    with_face,
    with_prior,
    with_safe,
)
from metatalk.config import Config, load_config
from metatalk.errors import ConfigError
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
