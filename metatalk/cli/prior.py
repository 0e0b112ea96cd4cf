"""`metatalk prior`: what many actors' mouths have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metatalk.cli import terminal
from metatalk.cli.app import app
from metatalk.cli.options import (
    ConfigFile,
    Json,
    Preset,
    Safe,
    Verbose,
    is_setting,
    require_files,
    settings,
    with_safe,
)
from metatalk.workspace.consent import NOT_ON_RECORD

CONSENTED = "consents beside the clips; commercial: yes"  # all of them, or it had been refused
priors = typer.Typer(help="Priors: what many actors' mouths have in common.")
app.add_typer(priors, name="prior")


@priors.command("train")
@terminal.answering_errors
def train_prior(
    clips: Annotated[
        list[str],
        typer.Argument(
            help="Footage of one speaking person each, then settings such as prior.steps=300.",
            metavar="CLIP... [KEY=VALUE]...",
        ),
    ],
    *,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The file to write.", metavar="PRIOR.safetensors"),
    ],
    terms: Annotated[
        str, typer.Option(help="Under which the clips may be used; kept in the file.")
    ] = NOT_ON_RECORD,
    commercial: Annotated[
        bool | None,
        typer.Option(help="Whether these terms allow commercial use; kept in the file, too."),
    ] = None,
    preset: Preset = None,
    config: ConfigFile = None,
    safe: Safe = False,
    verbose: Verbose = 0,
    as_json: Json = False,
) -> None:
    """Learn from many actors what a new one begins with. Run again to go on where it was."""
    terminal.set_up_logging(verbose)
    paths = [Path(word) for word in clips if not is_setting(word)]
    words = [word for word in clips if is_setting(word)]
    require_files(*paths)
    chosen = settings(preset, config, with_safe(words, safe), output.parent)
    if commercial is not None:
        terms = f"{terms}; commercial: {'yes' if commercial else 'no'}"
    if chosen.commercial_safe:
        from metatalk.stages.ingredients import prior_training_ingredients
        from metatalk.stages.terms import require_commercial

        require_commercial(prior_training_ingredients(paths, chosen, terms))
        if terms == NOT_ON_RECORD:
            terms = CONSENTED
    with terminal.stdout_kept_clean(as_json):
        from metatalk.stages.prior import learn_prior

        metrics = learn_prior(paths, output, chosen, terms, terminal.bars())
    terminal.show_values(metrics, as_json)
