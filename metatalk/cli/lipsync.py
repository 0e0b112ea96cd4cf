"""`metatalk lipsync`: a lip-sync teacher of one's own, from footage to networks."""

from __future__ import annotations

import typer

from metatalk.cli.app import app

lipsync = typer.Typer(help="Train a lip-sync teacher and its judge on footage of your own.")
app.add_typer(lipsync, name="lipsync")
