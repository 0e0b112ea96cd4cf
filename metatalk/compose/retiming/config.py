"""Settings of the choice which footage frame is shown when."""

from __future__ import annotations

import math
from dataclasses import dataclass

from metatalk.errors import ConfigError

MOST_CANDIDATES = 60  # a step back is remembered in one byte
LONGEST_RUN_S = 2.0


@dataclass(frozen=True)
class RetimingConfig:
    """What it costs to show a frame, and to come to it from the frame before.

    Speed counts in the actor's usual one: a head that moves as it mostly does costs 1 a frame.
    """

    still: float = 1.0  # head speed in a pause
    blink: float = 1.0  # closed eyes in a pause
    shut: float = 0.2  # eyes shut or cast down for longer than a blink takes, at any time
    start: float = 2.0  # bonus of head speed where an utterance begins
    start_s: float = 0.4  # how long an utterance begins
    pause_s: float = 0.5  # shorter pauses belong to the speech around them
    variety: float = 3.0  # a frame at a start that opens another of the utterances beside it, too
    repeat: float = 2.0  # head speed where a frame is shown for twice its time
    turn: float = 2.0  # head speed, squared, where the footage turns; half at each end of a jump
    turn_each: float = 4.0  # every turn besides: none comes without a reason
    run_s: float = 0.5  # shortest time between two turns or jumps
    untrusted: float = 2.0  # a frame whose face was not found or is not to be painted over
    short_shot: float = 0.5  # a frame of a short shot
    short_shot_s: float = 1.0  # shots below this are short
    mouth: float = 1.0  # `pose`: a filmed mouth as far from the wanted one as mouths mostly are
    jump: float = 4.0  # `pose`: every jump
    picture: float = 1.0  # `pose`: a jump that is just seen; twice as far costs four times as much
    bridge: int = 5  # `pose`: frames over which a jump is morphed; 0: it is not
    candidates: int = 12  # `pose`: frames that a jump may come from, for each frame

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"drive.retiming.{name} is {value}", "give 0 or more")
        for name in ("start_s", "pause_s", "run_s", "short_shot_s"):
            if getattr(self, name) > LONGEST_RUN_S:
                raise ConfigError(
                    f"drive.retiming.{name} is {getattr(self, name)}",
                    f"give 0 to {LONGEST_RUN_S:g} seconds",
                )
        if self.candidates > MOST_CANDIDATES:
            raise ConfigError(
                f"drive.retiming.candidates is {self.candidates}", f"give 0 to {MOST_CANDIDATES}"
            )
        if self.bridge > 25:
            raise ConfigError(f"drive.retiming.bridge is {self.bridge}", "give 0 to 25 frames")
