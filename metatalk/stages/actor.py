"""A trained actor as drive needs it: artefacts of one piece, and the settings that made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from metatalk.a2e.config import A2EConfig
from metatalk.a2e.encoder_config import EncoderConfig
from metatalk.config import Config, load_settings
from metatalk.errors import MissingAssetError, StaleArtefactError
from metatalk.stages.face_model import face_model_card
from metatalk.stages.render import RENDER
from metatalk.stages.stage import Stage
from metatalk.stages.train_a2e import TRAIN_A2E
from metatalk.stages.train_renderer import TRAIN_RENDERER
from metatalk.workspace.actor import ActorFolder
from metatalk.workspace.digest import digest_path
from metatalk.workspace.manifest import Manifest

# Each pair: a stage, and one that was computed from it.
BELONG = (
    ("fit", "render"),
    ("fit", "train_a2e"),
    ("fit", "train_renderer"),
    ("render", "train_renderer"),
)
NEEDED = ("ingest", "landmarks", "fit", "render", "train_a2e", "train_renderer")


def require_trained(folder: ActorFolder, without: frozenset[str] = frozenset()) -> None:
    """Check that an actor is whole and of one piece.

    Args:
        folder: the actor.
        without: stages that are not needed.

    Raises:
        MissingAssetError: a stage has not been computed.
        StaleArtefactError: a stage was computed anew and what follows from it was not, or by
            another version of metatalk.
    """
    for stage in NEEDED:
        if stage not in without:
            folder.require(stage)
    require_renderer_version(folder)
    if "train_a2e" not in without:
        _require_version(folder, TRAIN_A2E, (TRAIN_A2E,))
    for earlier, later in BELONG:
        if later in without:
            continue
        if _manifest(folder, later).cause.inputs[earlier] != _manifest(folder, earlier).outputs:
            raise StaleArtefactError(
                f"{later} was learned from another {earlier} than the one that is there now",
                f"metatalk train CLIP --actor {folder.root} --rerun {later}",
            )


def require_renderer_version(folder: ActorFolder) -> None:
    """Check that an actor's crops and renderer are such as this version makes.

    Args:
        folder: the actor, trained.

    Raises:
        StaleArtefactError: another version made them: they lack what this one reads.
    """
    stages = (RENDER, TRAIN_RENDERER)
    for place, stage in enumerate(stages):
        _require_version(folder, stage, stages[place:])


def _require_version(folder: ActorFolder, stage: Stage, later: Sequence[Stage]) -> None:
    if _manifest(folder, stage.name).cause.revision != stage.revision:
        names = ",".join(other.name for other in later)
        raise StaleArtefactError(
            f"{stage.name} of {folder.root} was made by another version of metatalk",
            "metatalk train CLIP --preset PRESET, as it was trained, "
            f"--actor {folder.root} --rerun {names}",
        )


def require_face_model(folder: ActorFolder, config: Config) -> None:
    """Check that an actor's coefficients belong to the face model as it is now.

    Args:
        folder: the actor, fitted.
        config: the actor's own settings.

    Raises:
        StaleArtefactError: the face model has changed since: its numbers mean another face.
    """
    card = face_model_card(config.fit.face_model, config.landmarks)
    if _manifest(folder, "fit").cause.inputs.get("face_model") != digest_path(card):
        raise StaleArtefactError(
            f"{folder.root} was fitted with another version of the face model "
            f"{config.fit.face_model}",
            f"metatalk train CLIP --actor {folder.root} "
            "--rerun fit,render,train_a2e,train_renderer",
        )


def actor_config(folder: ActorFolder, asked: Config) -> Config:
    """The settings an actor is driven with.

    What shaped the networks and crops is as it was trained, whatever preset is asked for now;
    what only matters while driving is as asked.

    Args:
        folder: the actor, trained.
        asked: the settings of this run.

    Returns:
        Both put together.
    """
    trained: dict[str, Any] = {}
    for stage in ("fit", "render", "train_renderer"):
        trained |= _manifest(folder, stage).cause.settings
    if speaks := folder.manifest("train_a2e"):
        trained |= speaks.cause.settings
    sections = ("fit", "landmarks", "render", "a2e", "neural")
    made = load_settings({name: trained[name] for name in sections if name in trained})
    a2e = _read_as_asked(made.a2e, asked.a2e)
    landmarks = replace(made.landmarks, face=asked.landmarks.face)
    render = replace(made.render, backend=asked.render.backend)
    return replace(
        asked, fit=made.fit, landmarks=landmarks, render=render, a2e=a2e, neural=made.neural
    )


def _read_as_asked(made: A2EConfig, asked: A2EConfig) -> A2EConfig:
    """The way from sound to mouth as it was trained, read as `stage.WHILE_SPEAKING` asks.

    An encoder that is named now stands for the one of the training, which may have moved; whether
    it hears the same is checked by its weights.
    """
    return replace(
        made,
        amplitude=asked.amplitude,
        smooth_s=asked.smooth_s,
        seen=asked.seen,
        neighbours=asked.neighbours,
        activity=asked.activity,
        features=replace(made.features, prior_s=asked.features.prior_s),
        kernel=replace(made.kernel, foreign=asked.kernel.foreign),
        encoder=made.encoder if asked.encoder == EncoderConfig() else asked.encoder,
    )


def _manifest(folder: ActorFolder, stage: str) -> Manifest:
    manifest = folder.manifest(stage)
    if manifest is None:
        raise MissingAssetError(
            f"{folder.root}: no finished {stage}",
            f"make the actor first: metatalk train CLIP --actor {folder.root}",
        )
    return manifest
