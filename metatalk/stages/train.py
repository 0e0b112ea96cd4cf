"""Train an actor: the stages in their order."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metatalk.a2e.activity import hear_speech
from metatalk.a2e.hearing import Ears, open_ears
from metatalk.config import Config
from metatalk.morphable.deep3d import check_deep3d_model
from metatalk.stages.deep3d_start import TERMS, checkpoint_source
from metatalk.stages.face_model import face_model_card, open_face_model
from metatalk.stages.fit import FIT, FIT_GUESSED
from metatalk.stages.ingest import INGEST
from metatalk.stages.landmarks import LANDMARKS
from metatalk.stages.prior_file import load_prior
from metatalk.stages.provenance import HEARD_KINDS, encoder_entries, prior_entries
from metatalk.stages.pseudo import PSEUDO, PSEUDO_TAUGHT
from metatalk.stages.render import RENDER
from metatalk.stages.sentences import teacher_sources
from metatalk.stages.stage import ProgressFactory, Stage, run_stages, silent_progress
from metatalk.stages.train_a2e import TRAIN_A2E, TRAIN_A2E_BEGUN, prior_source
from metatalk.stages.train_renderer import TRAIN_RENDERER
from metatalk.workspace.digest import digest_file
from metatalk.workspace.footage import remember_footage
from metatalk.workspace.ledger import Entry, drop_entries, read_ledger, record_entries
from metatalk.workspace.manifest import Metrics

STAGES = (INGEST, LANDMARKS, FIT, RENDER, PSEUDO, TRAIN_A2E, TRAIN_RENDERER)


def train_actor(
    clip: Path,
    actor: Path,
    config: Config,
    rerun: frozenset[str] = frozenset(),
    progress_factory: ProgressFactory = silent_progress,
    last: str | None = None,
) -> dict[str, Metrics]:
    """Learn an actor from a clip; what is fresh already is not computed again.

    Args:
        clip: the footage.
        actor: the actor folder; it is made.
        config: all settings.
        rerun: stages to compute again, see `run_stages`.
        progress_factory: who is told how far each stage is.
        last: stop after this stage; None goes on to the end.

    Returns:
        The metrics of each stage.

    Raises:
        MetatalkError: whatever the user can mend, see `run_stages` and the stages.
    """
    stages = _up_to(last)
    card = face_model_card(config.fit.face_model, config.landmarks)
    sources = {"clip": clip, "face_model": card}
    guessing = checkpoint_source(config.fit) if FIT in stages else None
    if guessing:
        stages = [FIT_GUESSED if stage is FIT else stage for stage in stages]
        sources = {**sources, "deep3d": guessing}
        check_deep3d_model(open_face_model(config.fit.face_model, config.landmarks))
    if PSEUDO in stages and (taught := teacher_sources(config.pseudo, actor)):
        stages, sources = [_or_taught(stage) for stage in stages], {**sources, **taught}
    prior = prior_source(config.a2e) if TRAIN_A2E in stages else None
    if prior:
        stages = [TRAIN_A2E_BEGUN if stage is TRAIN_A2E else stage for stage in stages]
        sources = {**sources, "prior": prior}
        before = load_prior(prior)  # complains before anything is computed
    ears = _open_ears(config) if {TRAIN_A2E, TRAIN_A2E_BEGUN} & set(stages) else None
    metrics = run_stages(stages, actor, sources, config, rerun, progress_factory)
    remember_footage(actor, clip)
    if "fit" in metrics:
        model = open_face_model(config.fit.face_model, config.landmarks)
        record_entries(actor, [Entry("face model", model.source, model.terms, "")])
        if guessing:
            digest = digest_file(guessing)
            record_entries(actor, [Entry("checkpoint", guessing.name, TERMS, digest)])
    # An actor that stands keeps the encoder it was learned with, whatever is installed now.
    if ears and _learned_with(metrics["train_a2e"], ears):
        drop_entries(actor, HEARD_KINDS)
        record_entries(actor, encoder_entries(ears))
    if prior:
        record_entries(actor, prior_entries(prior, before.record))
    if "pseudo" in metrics:
        record_entries(actor, read_ledger(actor / "pseudo"))
    return metrics


def _open_ears(config: Config) -> Ears:
    """What will listen to the footage; complains before anything is computed."""
    hear_speech(np.zeros(0, np.float32), config.a2e.activity)
    return open_ears(config.a2e)


def _learned_with(metrics: Metrics, ears: Ears) -> bool:
    heard = str(metrics.get("hears", "")).split(", ")
    return [name for name in heard if name != "prior"] == ["mel", *ears.names]


def _up_to(last: str | None) -> list[Stage]:
    names = [stage.name for stage in STAGES]
    return list(STAGES[: names.index(last) + 1] if last else STAGES)


def _or_taught(stage: Stage) -> Stage:
    return PSEUDO_TAUGHT if stage is PSEUDO else stage
