"""Where a clip keeps its filmed mouth: what hides the face there would be painted over."""

from __future__ import annotations

import logging

import numpy as np

from metatalk.compose.fallback.foreground_masks import Foreground
from metatalk.compose.fallback.occlusion import Hidden
from metatalk.compose.fallback.stretches import (
    Fallback,
    fallback_strength,
    find_fallbacks,
    measure_poses,
)
from metatalk.config import Config
from metatalk.morphable.coefficients import load_coefficients
from metatalk.stages.footage import Footage
from metatalk.stages.occlusion import (
    find_hidden,
    find_standing,
    open_hidden,
    open_standing,
)
from metatalk.stages.stage import ProgressFactory
from metatalk.workspace.actor import ActorFolder

LOG = logging.getLogger(__name__)


def keep_filmed(
    folder: ActorFolder,
    footage: Footage,
    config: Config,
    rerun: frozenset[str],
    progress_factory: ProgressFactory,
) -> tuple[list[Fallback], np.ndarray]:
    """Find where a footage keeps its filmed mouth.

    Args:
        folder: the actor, trained.
        footage: the clip that is shown.
        config: `drive.fallback`, `drive.fade_frames`.
        rerun: stages to compute again.
        progress_factory: who is told how far each stage is.

    Returns:
        The stretches and why, and (T,) float32 how much of a new mouth each frame takes.

    Raises:
        MetatalkError: whatever the user can mend.
    """
    hidden, standing = None, None
    if config.drive.fallback.enabled:
        hidden = open_hidden(folder, footage, config, rerun, progress_factory)
        if config.drive.fallback.standing:
            standing = open_standing(folder, footage) or None
        if standing is not None:
            LOG.warning(
                "something stands before the face in %s: it stays as filmed, and the new mouth "
                "is drawn beside it",
                footage.clip.name,
            )
    found = _find(folder, footage, config, hidden, standing)
    return found, fallback_strength(found, footage.landmarks.shots, config.drive.fade_frames)


def known_strength(folder: ActorFolder, footage: Footage, config: Config) -> np.ndarray:
    """How much of a new mouth each frame takes, as far as that was measured before.

    A show that is waited for is not held up by looking at every frame of the clip first.

    Args:
        folder: the actor, trained.
        footage: the clip that is shown.
        config: `drive.fallback`, `drive.fade_frames`.

    Returns:
        (T,) float32; without a measurement only lost faces are left alone, and the log says so.
    """
    hidden = None
    if config.drive.fallback.enabled:
        hidden = find_hidden(folder, footage)
        if hidden is None:
            LOG.warning(
                "what hides the face in %s was not measured yet: hands are painted over; "
                "`drive` this clip once before",
                footage.clip.name,
            )
    standing = known_standing(folder, footage, config)
    found = _find(folder, footage, config, hidden, standing)
    return fallback_strength(found, footage.landmarks.shots, config.drive.fade_frames)


def _find(
    folder: ActorFolder,
    footage: Footage,
    config: Config,
    hidden: Hidden | None,
    standing: Foreground | None,
) -> list[Fallback]:
    trained = None
    if config.drive.fallback.enabled:
        _, own, _ = load_coefficients(folder.path("fit") / "coefficients.npz")
        trained = measure_poses(own)
    rate, shots = float(footage.index.rate), footage.landmarks.shots
    return find_fallbacks(
        footage.track, shots, rate, config.drive.fallback, hidden, trained, standing
    )


def known_standing(folder: ActorFolder, footage: Footage, config: Config) -> Foreground | None:
    """What stands before the face all the while, as far as that was measured before.

    Args:
        folder: the actor.
        footage: the clip that is shown.
        config: `drive.fallback`.

    Returns:
        The masks; None where nothing stands, it is not known, or it is not to be looked for.
    """
    if not (config.drive.fallback.enabled and config.drive.fallback.standing):
        return None
    return find_standing(folder, footage) or None
