"""What the actor's face is to do in a result: said by the recording, or drawn by hand."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from metatalk.a2e.config import A2EConfig
from metatalk.a2e.model import MouthModel
from metatalk.a2e.predict import predict_mouth
from metatalk.a2e.targets import MouthSpace
from metatalk.interchange.edits import Edits, remaining_share, replace_columns
from metatalk.media.audio import read_sound

LOG = logging.getLogger(__name__)


def spoken_expression(
    space: MouthSpace,
    network: MouthModel,
    audio: Path,
    seconds: np.ndarray,
    filmed: np.ndarray,
    config: A2EConfig,
) -> np.ndarray:
    """Let a recording move the mouth and the footage everything else.

    Args:
        space: the actor's mouth space.
        network: trained on the actor.
        audio: the recording.
        seconds: (N,) times of the result's frames.
        filmed: (N, E) the expression filmed behind each of them.
        config: how the network is read.

    Returns:
        (N, E) float32.
    """
    sound = read_sound(audio).samples
    mouth = space.clamp(predict_mouth(network, sound, seconds, config))
    return space.replace_mouth(filmed, mouth)


def drawn_expression(
    spoken: np.ndarray,
    edits: Edits,
    seconds: np.ndarray,
    names: tuple[str, ...],
    space: MouthSpace,
    rest: np.ndarray,
) -> np.ndarray:
    """Put edited curves in place of what the recording says.

    Only the lower face is generated, so only its units are taken. They are read linearly at the
    frames' own times, whatever rates the curves and the footage have. Past their end the last
    pose is held a moment and fades to the actor's rest. Units that the curves do not hold stay
    spoken. Nothing is cut to what the actor was seen to do: an edit is meant.

    Args:
        spoken: (N, E) the expression without the edits.
        edits: the curves; second 0 is the recording's start.
        seconds: (N,) times of the result's frames.
        names: E names of the expression's columns.
        space: the actor's mouth space, which says what the lower units are.
        rest: (E,) the actor's face at rest.

    Returns:
        (N, E) float32.
    """
    lower = [name for name, drawn in zip(names, space.lower_units, strict=True) if drawn]
    used = [place for place, name in enumerate(edits.names) if name in lower]
    given = tuple(edits.names[place] for place in used)
    if left := [name for name in lower if name not in given]:
        LOG.warning("the curves do not hold %s: spoken by the recording", ", ".join(left))
    share = remaining_share(edits, seconds)[:, None]
    drawn = edits.sample(seconds).values[:, used]
    resting = rest[[names.index(name) for name in given]]
    return replace_columns(spoken, names, given, share * drawn + (1.0 - share) * resting)
