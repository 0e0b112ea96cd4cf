"""Train a2e: the actor's own way from sound to mouth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from metatalk.a2e.config import A2EConfig
from metatalk.a2e.corpus import train_with_corpus
from metatalk.a2e.targets import MouthSpace, fit_mouth_space
from metatalk.a2e.training import Footage, Journal
from metatalk.errors import MediaError
from metatalk.fitting.config import FitConfig
from metatalk.fitting.utterance import Utterance
from metatalk.landmarks.config import LandmarksConfig
from metatalk.media.audio import read_sound
from metatalk.morphable.coefficients import TrackCoefficients, load_coefficients
from metatalk.morphable.model import MorphableModel
from metatalk.stages.artefacts import checkpoint_keeper, load_index, load_landmarks, save_mouth
from metatalk.stages.face_model import open_face_model
from metatalk.stages.sentences import load_utterances
from metatalk.stages.stage import Progress, Stage
from metatalk.workspace.manifest import Metrics


def compute(
    inputs: Mapping[str, Path],
    config: A2EConfig,
    out: Path,
    progress: Progress,
    *,
    fit: FitConfig,
    landmarks: LandmarksConfig,
    seed: int,
) -> Metrics:
    """Learn the mouth space from the clip, and the network from its speech and pseudo video."""
    sound = inputs["ingest"] / "sound.wav"
    if not sound.is_file():
        raise MediaError(
            "the clip has no sound track, so there is no speech to learn the mouth from",
            "train on footage with its sound; fit and render work without",
        )
    _, track, _ = load_coefficients(inputs["fit"] / "coefficients.npz")
    space = measure_mouth(open_face_model(fit.face_model, landmarks), track, config)
    footage = Footage(
        samples=read_sound(sound).samples,
        frame_seconds=load_index(inputs["ingest"] / "frames.npz").seconds(),
        mouth=space.expression_to_mouth(track.expression.numpy()),
        has_face=track.is_trusted.numpy(),
        shots=load_landmarks(inputs["landmarks"] / "landmarks.npz").shots,
        scale=space.scale,
    )
    checkpoint = out / "checkpoint.pt"
    save, load = checkpoint_keeper(checkpoint)
    journal = Journal(lambda done, total, note="": progress(done, total, note), save, load)
    others = [_taught(said, space) for said in load_utterances(inputs["pseudo"])]
    model, metrics = train_with_corpus(footage, others, config, seed, journal)
    save_mouth(out, space, model)
    checkpoint.unlink(missing_ok=True)
    return {**metrics}


def measure_mouth(model: MorphableModel, track: TrackCoefficients, config: A2EConfig) -> MouthSpace:
    """The actor's mouth space: what they were seen to do with lips and chin."""
    visible = model.regions["lips"] | (model.regions["lower_face"] & (model.mean[:, 1] > 50.0))
    basis = model.expression_basis[:, visible].flatten(1).numpy()
    return fit_mouth_space(
        track.expression.numpy(),
        np.asarray(track.is_trusted),
        basis,
        model.lower_units.numpy(),
        config.components,
    )


def _taught(said: Utterance, space: MouthSpace) -> Footage:
    """A sentence of pseudo video in the actor's mouth space, inside what the actor can do."""
    mouth = space.clamp(space.expression_to_mouth(said.expression))
    shots = [(0, len(mouth))]
    return Footage(said.samples, said.frame_seconds, mouth, said.has_face, shots, space.scale)


TRAIN_A2E = Stage(
    "train_a2e",
    reads=("ingest", "landmarks", "fit", "pseudo", "face_model"),
    revision=3,
    compute=compute,
    section="a2e",
    also=("fit", "landmarks", "seed"),
    resumable=True,
)
