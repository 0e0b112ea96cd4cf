"""Train an actor: the stages in their order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from metatalk.a2e.activity import hear_speech
from metatalk.a2e.hearing import Ears, open_ears
from metatalk.config import Config
from metatalk.morphable.deep3d import check_deep3d_model
from metatalk.stages.deep3d_start import checkpoint_source
from metatalk.stages.face_model import face_model_card, open_face_model
from metatalk.stages.fit import FIT, FIT_GUESSED
from metatalk.stages.ingest import INGEST
from metatalk.stages.ingredients import (
    face_model_digest,
    require_safe_training,
    teacher_ingredients,
)
from metatalk.stages.landmarks import LANDMARKS
from metatalk.stages.prior_file import load_prior
from metatalk.stages.provenance import encoder_entries, prior_entries
from metatalk.stages.pseudo import PSEUDO, PSEUDO_TAUGHT
from metatalk.stages.render import RENDER
from metatalk.stages.sentences import teacher_sources
from metatalk.stages.stage import ProgressFactory, Stage, run_stages, silent_progress
from metatalk.stages.terms import (
    ENCODER,
    HEARD_KINDS,
    TAUGHT_KINDS,
    deep3d_entry,
    face_model_entry,
    landmark_model_entry,
    phone_model_entries,
    speech_detector_entries,
)
from metatalk.stages.train_a2e import TRAIN_A2E, TRAIN_A2E_BEGUN, prior_source
from metatalk.stages.train_renderer import TRAIN_RENDERER
from metatalk.workspace.actor import ActorFolder
from metatalk.workspace.footage import remember_footage
from metatalk.workspace.ledger import (
    FOOTAGE,
    Entry,
    drop_entries,
    read_ledger,
    record_entries,
    replace_entries,
)
from metatalk.workspace.manifest import Metrics

STAGES = (INGEST, LANDMARKS, FIT, RENDER, PSEUDO, TRAIN_A2E, TRAIN_RENDERER)


def train_actor(
    clip: Path,
    actor: Path,
    config: Config,
    rerun: frozenset[str] = frozenset(),
    progress_factory: ProgressFactory = silent_progress,
    last: str | None = None,
    footage: Entry | None = None,
) -> dict[str, Metrics]:
    """Learn an actor from a clip; what is fresh already is not computed again.

    Args:
        clip: the footage.
        actor: the actor folder; it is made.
        config: all settings.
        rerun: stages to compute again, see `run_stages`.
        progress_factory: who is told how far each stage is.
        last: stop after this stage; None goes on to the end.
        footage: the clip's entry for the ledger, where a consent was given with it; it is only
            looked at, by `commercial_safe`.

    Returns:
        The metrics of each stage.

    Raises:
        TermsError: `commercial_safe` is set, and something is restricted; nothing was done.
        MetatalkError: whatever the user can mend, see `run_stages` and the stages.
    """
    require_safe_training(clip, actor, config, last, footage)
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
    entries = _looked_at_with(metrics, config, guessing)
    if "pseudo" in metrics:
        entries += _taught_by(actor, config)
    if ears and "train_a2e" in metrics:
        entries += _listened_with(actor, metrics["train_a2e"], ears, config)
    entries += prior_entries(prior, before.record) if prior else []
    _put_on_record(actor, entries, metrics)
    return metrics


def _looked_at_with(
    metrics: dict[str, Metrics], config: Config, guessing: Path | None
) -> list[Entry]:
    entries = []
    if "landmarks" in metrics:
        entries.append(landmark_model_entry(config.landmarks.detector))
    if "fit" in metrics:
        model = open_face_model(config.fit.face_model, config.landmarks)
        digest = face_model_digest(config.fit.face_model)
        entries.append(face_model_entry(model.source, model.terms, digest))
        entries += [deep3d_entry(guessing)] if guessing else []
    return entries


def _taught_by(actor: Path, config: Config) -> list[Entry]:
    """What the pseudo video is made of, on the terms that are stated now.

    Its cause holds the settings and the content, so what they name now is what made it.
    """
    now = {(entry.kind, entry.name): entry for entry in teacher_ingredients(config.pseudo)}
    made = {(entry.kind, entry.name): entry for entry in read_ledger(actor / "pseudo")}
    return [
        replace(entry, terms=now[key].terms, commercial=now[key].commercial)
        if key in now
        else entry
        for key, entry in made.items()
    ]


def _listened_with(actor: Path, learned: Metrics, ears: Ears, config: Config) -> list[Entry]:
    """What heard the footage; one that stands keeps its encoder, whatever is installed now."""
    entries = speech_detector_entries(config.a2e.activity.detector)
    entries += phone_model_entries() if "phones" in ears.names else []
    if _learned_with(learned, ears):
        return [*entries, *encoder_entries(ears, config.a2e.encoder.source)]
    return [*entries, *(entry for entry in read_ledger(actor) if entry.kind == ENCODER)]


def _put_on_record(actor: Path, entries: list[Entry], metrics: dict[str, Metrics]) -> None:
    """Replace the ledger's entries by those of now, unless artefacts of before are still there."""
    folder = ActorFolder(actor)
    others = [stage.name for stage in STAGES if stage.name not in metrics]
    if not any(folder.manifest(name) for name in others):
        replace_entries(actor, entries, kept=frozenset({FOOTAGE}))
        return
    if "train_a2e" in metrics:  # what follows from it has neither been taught nor heard anything
        drop_entries(actor, HEARD_KINDS | TAUGHT_KINDS)
    record_entries(actor, entries)


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
