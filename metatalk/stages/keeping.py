"""Where a clip keeps its filmed mouth: what hides the face there would be painted over."""

from __future__ import annotations

import logging
from dataclasses import dataclass

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


@dataclass(frozen=True, eq=False)
class Kept:
    """What of a clip stays as it was filmed."""

    fallbacks: list[Fallback]  # where the filmed mouth stays, and why
    strength: np.ndarray  # (T,) float32: how much of a new mouth each frame takes
    standing: Foreground | None = None  # what stands before it, and captions; None: nothing


def keep_filmed(
    folder: ActorFolder,
    footage: Footage,
    config: Config,
    rerun: frozenset[str],
    progress_factory: ProgressFactory,
) -> Kept:
    """Find what of a footage stays as it was filmed.

    Args:
        folder: the actor, trained.
        footage: the clip that is shown.
        config: `drive.fallback`, `drive.fade_frames`.
        rerun: stages to compute again.
        progress_factory: who is told how far each stage is.

    Returns:
        What stays.

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
                "something stands before the face in %s, or a caption at it: it stays as filmed, "
                "and the new mouth is drawn beside it",
                footage.clip.name,
            )
    return _keep(folder, footage, config, hidden, standing)


def keep_known(folder: ActorFolder, footage: Footage, config: Config) -> Kept:
    """Find what of a footage stays as it was filmed, as far as that was measured before.

    A show that is waited for is not held up by looking at every frame of the clip first.

    Args:
        folder: the actor, trained.
        footage: the clip that is shown.
        config: `drive.fallback`, `drive.fade_frames`.

    Returns:
        What stays; without a measurement only lost faces are left alone, and the log says so.
    """
    hidden, standing = None, None
    if config.drive.fallback.enabled:
        hidden = find_hidden(folder, footage)
        if config.drive.fallback.standing:
            standing = find_standing(folder, footage) or None
        if hidden is None:
            LOG.warning(
                "what hides the face in %s was not measured yet: hands are painted over; "
                "`drive` this clip once before",
                footage.clip.name,
            )
    return _keep(folder, footage, config, hidden, standing)


def _keep(
    folder: ActorFolder,
    footage: Footage,
    config: Config,
    hidden: Hidden | None,
    standing: Foreground | None,
) -> Kept:
    trained = None
    if config.drive.fallback.enabled:
        _, own, _ = load_coefficients(folder.path("fit") / "coefficients.npz")
        trained = measure_poses(own)
    rate, shots = float(footage.index.rate), footage.landmarks.shots
    found = find_fallbacks(
        footage.track, shots, rate, config.drive.fallback, hidden, trained, standing
    )
    strength = fallback_strength(found, shots, config.drive.fade_frames)
    return Kept(found, strength, standing)
