"""Who acts in place of a recording: the clip, its expression in the actor's terms, its terms."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np

from metatalk.config import Config
from metatalk.interchange.take import number_shots
from metatalk.morphable.coefficients import load_coefficients
from metatalk.morphable.retarget import ExpressionRange, measure_range, retarget
from metatalk.stages.footage import Footage, open_footage
from metatalk.stages.performance import Act
from metatalk.stages.stage import ProgressFactory
from metatalk.workspace.actor import ActorFolder
from metatalk.workspace.consent import footage_entry
from metatalk.workspace.digest import digest_file
from metatalk.workspace.ledger import Entry

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Performer:
    """A clip whose face drives the actor's."""

    clip: Path
    other_person: bool = False  # somebody else than the actor
    face: int | None = None  # which face, where the clip shows several


def actor_range(folder: ActorFolder, has_units: bool) -> ExpressionRange:
    """What the actor was seen to do in the training clip.

    Args:
        folder: the actor, fitted.
        has_units: whether the face model has units.
    """
    _, track, _ = load_coefficients(folder.path("fit") / "coefficients.npz")
    return measure_range(track.expression.numpy(), track.is_trusted.numpy(), has_units)


def open_performance(
    folder: ActorFolder,
    performer: Performer,
    shown: Footage,
    config: Config,
    rerun: frozenset[str],
    progress_factory: ProgressFactory,
) -> Footage:
    """Take the performer's clip apart; the clip that is shown is not taken apart twice.

    Args:
        folder: the actor, trained.
        performer: who acts.
        shown: the clip that is shown.
        config: the actor's settings.
        rerun: stages to compute again, of the performer's clip.
        progress_factory: who is told how far each stage is.

    Returns:
        The performer's clip; somebody else's with a person of its own.

    Raises:
        MetatalkError: whatever the user can mend.
    """
    if not performer.other_person and digest_file(performer.clip) == digest_file(shown.clip):
        return replace(shown, clip=performer.clip)
    config = replace(config, landmarks=replace(config.landmarks, face=performer.face))
    return open_footage(
        folder,
        performer.clip,
        config,
        rerun,
        progress_factory,
        other_person=performer.other_person,
    )


def read_act(
    performance: Footage, performer: Performer, actor: ExpressionRange, has_units: bool
) -> Act:
    """Read a performance off a clip, in the actor's terms.

    Args:
        performance: the performer's clip.
        performer: who acts. The actor's own expression is taken as it is.
        actor: what the actor was seen to do, for somebody else's.
        has_units: whether the face model has units.

    Returns:
        The performance.

    Raises:
        FittingError: no frame of it shows the face well.
    """
    track = performance.track
    expression, trusted = track.expression.numpy(), track.is_trusted.numpy()
    seen = measure_range(expression, trusted, has_units)
    if performer.other_person:
        expression = retarget(expression, seen, actor)
    if (unseen := int(np.count_nonzero(~trusted))) > 0:
        LOG.warning(
            "%s: %d of %d frames do not show the face well: guessed from those around them",
            performer.clip.name,
            unseen,
            len(trusted),
        )
    shots = number_shots(performance.landmarks.shots, len(trusted))
    return Act(performance.index.seconds(), expression, trusted, shots)


def performance_entry(entries: Iterable[Entry], performer: Performer) -> Entry:
    """The ledger's line about a performance; that a consent is lacking is said once.

    Args:
        entries: what else the result is made of.
        performer: who acts.

    Returns:
        The entry, on the terms of that footage where it is among the others.
    """
    digest = digest_file(performer.clip)
    entry = next((own for own in entries if own.digest == digest), None)
    if entry is None:
        entry = footage_entry(performer.clip, digest, None, date.today())
    return replace(entry, kind="performance", name=performer.clip.name)
