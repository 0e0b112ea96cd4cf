"""What is asked of a live show: who says what is being spoken, and where it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LiveOrder:
    """What is asked of a live show.

    Args:
        actor: the actor folder, trained.
        source: where the sound comes from, see `open_live_sound`.
        output: where the video goes, see `LiveWriter`.
        target: another clip of the actor to show; None shows the training clip.
        container: a key of `LIVE_FORMATS`; None: by the output's name.
    """

    actor: Path
    source: str
    output: str
    target: Path | None = None
    container: str | None = None
