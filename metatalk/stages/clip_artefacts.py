"""What is measured of a clip for an actor: found, or made, wherever it can be kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from metatalk.config import Config
from metatalk.errors import BusyActorError
from metatalk.stages.stage import ProgressFactory, Stage, are_fresh, run_stages
from metatalk.workspace.actor import can_be_written
from metatalk.workspace.cache import writing_in
from metatalk.workspace.clip_places import ClipPlaces

LOG = logging.getLogger(__name__)
MEASURED_LATER = frozenset({"occlusion", "grades"})  # by stages of their own
POLL_S = 0.2  # another drive of the same clip may be measuring it


def bring_up_to_date(
    stages: Sequence[Stage],
    places: ClipPlaces,
    sources: Mapping[str, Path],
    config: Config,
    rerun: frozenset[str],
    progress_factory: ProgressFactory,
) -> Path:
    """Measure a clip, or find it measured already.

    Where the actor's folder cannot be written, what lies there is used as far as it is fresh, and
    nothing in it is touched; what is missing is made in the user's cache and kept there.

    Args:
        stages: what is to be measured, in order.
        places: where it may lie.
        sources: what the stages read from outside.
        config: the actor's settings.
        rerun: names of stages to compute again.
        progress_factory: who is told how far each stage is.

    Returns:
        The folder that holds the artefacts.

    Raises:
        MissingAssetError: neither the actor's folder nor the cache can be written.
        MetatalkError: whatever else the user can mend.
    """
    if can_be_written(places.own):
        run_when_free(stages, places.own, sources, config, rerun, progress_factory)
        return places.own
    if not rerun & {"all", *(stage.name for stage in stages)}:
        for root in places_to_read(places):
            if are_fresh(stages, root, sources, config):
                return root
    _tell_aside(places, sources["clip"].name)
    run_when_free(stages, places.aside, sources, config, rerun, progress_factory)
    return places.aside


def places_to_read(places: ClipPlaces) -> Iterator[Path]:
    """Name the folders that may hold what is measured of a clip, as `bring_up_to_date` takes them.

    Args:
        places: where it may lie.

    Yields:
        The folders, made or not, the one to be taken first. Where the actor has no fit there is
        only its own: the other is named after the fit.
    """
    is_ours = can_be_written(places.own)
    if is_ours:
        yield places.own
    # What was made aside anew, on demand, comes first: else it had to be demanded every time.
    if places.actor.path("fit").is_dir():
        yield places.aside
    if not is_ours:
        yield places.own


def _tell_aside(places: ClipPlaces, clip: str) -> None:
    """Say where things go, the first time that any go there."""
    with writing_in(places.aside.parent):
        is_known = places.aside.is_dir()
        places.aside.mkdir(exist_ok=True)
    if not is_known:
        LOG.warning(
            "%s cannot be written: what is measured of %s is kept in %s",
            places.actor.root,
            clip,
            places.aside,
        )


def run_when_free(
    stages: Sequence[Stage],
    root: Path,
    sources: Mapping[str, Path],
    config: Config,
    rerun: frozenset[str],
    progress_factory: ProgressFactory,
) -> None:
    """Run stages as soon as no other drive of the same clip does: it does what is wanted here.

    However long that takes: the lock dies with its process, so a held one has a living holder.
    """
    told = False
    while True:
        try:
            run_stages(stages, root, sources, config, rerun, progress_factory)
            return
        except BusyActorError as busy:
            if not told:
                LOG.warning("%s; waiting until it has done", busy.problem)
            told = True
            time.sleep(POLL_S)
