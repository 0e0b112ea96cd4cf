"""Who moves the mouth of a result: a recording, or another performance."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np

from metatalk.a2e.lip_meter import make_lip_meter
from metatalk.a2e.model import MouthModel
from metatalk.a2e.predict import predict_mouth
from metatalk.a2e.targets import MouthSpace
from metatalk.config import Config
from metatalk.media.audio import read_sound
from metatalk.morphable.coefficients import load_coefficients
from metatalk.morphable.model import MorphableModel
from metatalk.stages.artefacts import load_mouth
from metatalk.stages.footage import Footage
from metatalk.stages.performance import Act, acted_expression
from metatalk.stages.performer import Performer, actor_range, read_act
from metatalk.stages.script import Script, close_spoken_lips
from metatalk.workspace.actor import ActorFolder

LOG = logging.getLogger(__name__)


class Mouth(Protocol):
    """Moves the lower face at any times that are asked for."""

    @property
    def rest(self) -> np.ndarray:
        """(E,) the actor's face at rest."""
        ...

    @property
    def heard_s(self) -> Fraction:
        """How long it goes on, seconds."""
        ...

    def move(self, seconds: np.ndarray) -> np.ndarray:
        """(N, E) float32 at the times (N,); only the lower units mean anything."""
        ...

    def finish(self, shown: np.ndarray, seconds: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """(N, E) float32: the whole face (N, E), with what depends on all of it put right.

        `predicted` (N, E) is the same before the animator's knobs.
        """
        ...


@dataclass(frozen=True, eq=False)
class SpokenMouth:
    """A recording moves it."""

    audio: Path
    heard_s: Fraction
    space: MouthSpace
    network: MouthModel
    config: Config
    script: Script
    folder: ActorFolder
    model: MorphableModel

    @property
    def rest(self) -> np.ndarray:
        """(E,) the actor's face at rest."""
        return self.space.mouth_to_expression(self.network.rest.numpy()[None])[0]

    def move(self, seconds: np.ndarray) -> np.ndarray:
        """(N, E) float32 at the times (N,)."""
        sound = read_sound(self.audio).samples
        mouth = predict_mouth(self.network, sound, seconds, self.config.a2e)
        return self.space.mouth_to_expression(self.space.clamp(mouth))

    def finish(self, shown: np.ndarray, seconds: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Close the lips on p, b and m; those of a mouth that is kept at rest stay there."""
        if self.config.drive.mouth.amplitude == 0:
            return shown
        if not self.model.landmark_layout:
            if self.script != Script():
                LOG.warning("the face model has no landmarks: its lips cannot be closed by phones")
            return shown
        person, own, _ = load_coefficients(self.folder.path("fit") / "coefficients.npz")
        seen = own.expression.numpy(), own.is_trusted.numpy()
        meter = make_lip_meter(self.model, person.identity, *seen)
        closure, activity = self.config.drive.closure, self.config.a2e.activity
        return close_spoken_lips(
            shown, self.audio, seconds, self.space, meter, self.script, closure, activity,
            predicted,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class ActedMouth:
    """Another performance moves it."""

    act: Act
    heard_s: Fraction
    lower: np.ndarray  # (E,) bool
    rest: np.ndarray  # (E,)

    def move(self, seconds: np.ndarray) -> np.ndarray:
        """(N, E) float32 at the times (N,)."""
        resting = np.tile(self.rest, (len(seconds), 1))
        return acted_expression(self.act, seconds, resting, self.lower, self.rest)

    def finish(self, shown: np.ndarray, seconds: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Nothing: what was acted is whole."""
        del seconds, predicted
        return shown


def open_spoken_mouth(
    folder: ActorFolder,
    audio: Path,
    heard_s: Fraction,
    script: Script,
    config: Config,
    model: MorphableModel,
) -> SpokenMouth:
    """Let a recording move the mouth.

    Args:
        folder: the actor, trained.
        audio: the recording.
        heard_s: how long it is, seconds.
        script: what is known of its words.
        config: the actor's settings.
        model: the face model.

    Returns:
        The mouth.

    Raises:
        MetatalkError: the network cannot be read.
    """
    space, network = load_mouth(folder.path("train_a2e"), config.a2e)
    return SpokenMouth(audio, heard_s, space, network, config, script, folder, model)


def open_acted_mouth(
    folder: ActorFolder,
    performed: Footage,
    performer: Performer,
    heard_s: Fraction,
    model: MorphableModel,
) -> ActedMouth:
    """Let another performance move the mouth.

    Args:
        folder: the actor, trained.
        performed: the performer's clip.
        performer: who acts.
        heard_s: how long the result is to be, seconds.
        model: the face model.

    Returns:
        The mouth.

    Raises:
        FittingError: no frame of the clip shows the face well.
    """
    own = actor_range(folder, model.has_units)
    act = read_act(performed, performer, own, model.has_units)
    return ActedMouth(act, heard_s, model.lower_units.numpy(), own.rest)
