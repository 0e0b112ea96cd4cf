"""What the actor's face is to do in a result: said, acted in another clip, or drawn by hand."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from metatalk.interchange.edits import FADE_S, HOLD_S, Edits, remaining_share, replace_columns
from metatalk.shapes import check_shape

LOG = logging.getLogger(__name__)
LONGEST_BRIDGE_S = 0.5  # over which a performance is guessed from the frames before and after
_SAME_TIME_S = 1e-6  # two clocks' roundings of one moment


@dataclass(frozen=True, eq=False)
class Act:
    """What a face did in a clip, and when: it may drive another one."""

    seconds: np.ndarray  # (T,) float64 times of the clip's frames, ascending from 0
    expression: np.ndarray  # (T, E) in the actor's own terms
    is_trusted: np.ndarray  # (T,) bool, frames that show what the face did; at least one
    shots: np.ndarray  # (T,) number of the shot that a frame belongs to

    def __post_init__(self) -> None:
        frames = check_shape("seconds", self.seconds, "T")["T"]
        check_shape("expression", self.expression, "T E", T=frames)
        check_shape("is_trusted", self.is_trusted, "T", T=frames)
        check_shape("shots", self.shots, "T", T=frames)


def acted_expression(
    act: Act, seconds: np.ndarray, filmed: np.ndarray, lower: np.ndarray, rest: np.ndarray
) -> np.ndarray:
    """Let another performance move the mouth and the footage everything else.

    The performance is read linearly at the result's own times, whatever rates the two clips
    have, and not across a cut; a time that is a frame's own gives that frame. Frames that do not
    show the face well are passed over. Where there are none for longer than `LONGEST_BRIDGE_S`,
    and after the last one, the pose is held a moment and fades to rest.

    Args:
        act: the performance.
        seconds: (N,) times of the result's frames; 0 is the performance's first frame.
        filmed: (N, E) the expression filmed behind each of them.
        lower: (E,) bool, the units that are driven.
        rest: (E,) the actor's face at rest.

    Returns:
        (N, E) float32.
    """
    check_shape("filmed", filmed, "N E", N=len(seconds), E=len(lower))
    kept = np.flatnonzero(act.is_trusted)
    known = act.seconds[kept]
    for near in _neighbours(known, seconds):
        seconds = np.where(np.abs(near - seconds) < _SAME_TIME_S, near, seconds)
    names = tuple(str(unit) for unit in range(len(lower)))
    curves = Edits(known, names, act.expression[kept].astype(np.float64), shots=act.shots[kept])
    share = _known_share(known, seconds)[:, None]
    acted = share * curves.sample(seconds).values + (1.0 - share) * rest
    return np.where(lower, acted, filmed).astype(np.float32)


def _neighbours(known: np.ndarray, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) the known moments before and after each time; beyond an end, twice the end."""
    after = np.searchsorted(known, seconds)
    return known[(after - 1).clip(0)], known[after.clip(max=len(known) - 1)]


def _known_share(known: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """(N,) how much of a pose is known at a time: 1 near a known moment, 0 far from all."""
    before, after = _neighbours(known, seconds)
    away = np.minimum(np.abs(seconds - before), np.abs(after - seconds))
    faded = 1.0 - ((away - HOLD_S) / FADE_S).clip(0.0, 1.0)
    bridged = (before <= seconds) & (seconds <= after) & (after - before <= LONGEST_BRIDGE_S)
    share: np.ndarray = np.where(bridged, 1.0, faded)
    return share


def drawn_expression(
    spoken: np.ndarray,
    edits: Edits,
    seconds: np.ndarray,
    names: tuple[str, ...],
    lower: np.ndarray,
    rest: np.ndarray,
    is_acted: bool = False,
) -> np.ndarray:
    """Put edited curves in place of what the recording says, or another performance.

    Only the lower face is generated, so only its units are taken. They are read linearly at the
    frames' own times, whatever rates the curves and the footage have. Past their end the last
    pose is held a moment and fades to the actor's rest. Units that the curves do not hold stay
    as they were. Nothing is cut to what the actor was seen to do: an edit is meant.

    Args:
        spoken: (N, E) the expression without the edits.
        edits: the curves; second 0 is the recording's start.
        seconds: (N,) times of the result's frames.
        names: E names of the expression's columns.
        lower: (E,) bool, the units of the lower face.
        rest: (E,) the actor's face at rest.
        is_acted: another performance, and no recording, moves what the curves do not hold.

    Returns:
        (N, E) float32.
    """
    below = [name for name, drawn in zip(names, lower, strict=True) if drawn]
    used = [place for place, name in enumerate(edits.names) if name in below]
    given = tuple(edits.names[place] for place in used)
    if left := [name for name in below if name not in given]:
        story = "the curves do not hold %s: spoken by the recording"
        if is_acted:
            story = "the curves do not hold %s: as in the performance"
        LOG.warning(story, ", ".join(left))
    share = remaining_share(edits, seconds)[:, None]
    drawn = edits.sample(seconds).values[:, used]
    resting = rest[[names.index(name) for name in given]]
    return replace_columns(spoken, names, given, share * drawn + (1.0 - share) * resting)
