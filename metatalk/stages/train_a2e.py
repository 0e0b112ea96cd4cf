"""Train a2e: the actor's own way from sound to mouth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from metatalk.a2e.activity import hear_speech
from metatalk.a2e.config import A2EConfig
from metatalk.a2e.corpus import train_with_corpus
from metatalk.a2e.footage import Footage
from metatalk.a2e.hearing import Ears, open_ears
from metatalk.a2e.lip_meter import make_lip_meter
from metatalk.a2e.lip_readout import read_lips
from metatalk.a2e.offset import correct_offset
from metatalk.a2e.targets import MouthSpace, fit_mouth_space
from metatalk.a2e.training import Journal
from metatalk.errors import ConfigError, MediaError, MissingAssetError
from metatalk.fitting.config import FitConfig
from metatalk.fitting.utterance import Utterance
from metatalk.landmarks.config import LandmarksConfig
from metatalk.media.audio import read_sound
from metatalk.morphable.coefficients import TrackCoefficients, load_coefficients
from metatalk.morphable.model import MorphableModel
from metatalk.stages.artefacts import checkpoint_keeper, load_index, load_landmarks, save_mouth
from metatalk.stages.face_model import open_face_model
from metatalk.stages.prior_file import load_prior
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
    footage, space = _footage(inputs, config, fit, landmarks)
    ears = open_ears(config)
    if "prior" in inputs:
        ears = _with_prior(ears, inputs["prior"], fit.face_model, len(space.mean))
    speech = hear_speech(footage.samples, config.activity)
    footage, sync = correct_offset(footage, config.offset_s, speech)
    checkpoint = out / "checkpoint.pt"
    save, load = checkpoint_keeper(checkpoint)
    journal = Journal(lambda done, total, note="": progress(done, total, note), save, load)
    others = [footage_of(said, space, footage) for said in load_utterances(inputs["pseudo"])]
    model, metrics = train_with_corpus(footage, others, config, seed, journal, ears)
    save_mouth(out, space, model)
    checkpoint.unlink(missing_ok=True)
    hears = ("mel", *ears.names, *(("prior",) if ears.prior else ()))
    return {**metrics, **sync.metrics(), "hears": ", ".join(hears)}


def prior_source(config: A2EConfig) -> Path | None:
    """The prior that an actor is to begin with; None where there is none.

    Raises:
        MissingAssetError: there is no such file.
        ConfigError: a look-ahead is bounded, which a prior's is not.
    """
    if config.prior is None:
        return None
    if config.lookahead_ms is not None:
        raise ConfigError(
            "a2e.prior hears further ahead than a2e.lookahead_ms allows",
            "set one of the two to null",
        )
    path = Path(config.prior).expanduser()
    if not path.is_file():
        raise MissingAssetError(
            f"there is no prior at {path}",
            "correct --prior or a2e.prior, or make one: metatalk prior train CLIPS... -o FILE",
        )
    return path


def _with_prior(ears: Ears, path: Path, face_model: str, units: int) -> Ears:
    prior = load_prior(path)
    prior.require(face_model, units, ears)
    return replace(ears, prior=prior)


def _footage(
    inputs: Mapping[str, Path], config: A2EConfig, fit: FitConfig, landmarks: LandmarksConfig
) -> tuple[Footage, MouthSpace]:
    """The clip's sound and mouth, as filmed, and the space that the mouth is measured in."""
    person, track, _ = load_coefficients(inputs["fit"] / "coefficients.npz")
    model = open_face_model(fit.face_model, landmarks)
    space = measure_mouth(model, track, config)
    expression, is_trusted = track.expression.numpy(), track.is_trusted.numpy()
    lips, gap_mm = None, 0.0
    if model.landmark_layout:
        meter = make_lip_meter(model, person.identity, expression, is_trusted)
        lips = read_lips(model, space, meter)
        gap_mm = float(meter.gap_mm(space.mean[None])[0])
    footage = Footage(
        samples=read_sound(inputs["ingest"] / "sound.wav").samples,
        frame_seconds=load_index(inputs["ingest"] / "frames.npz").seconds(),
        mouth=space.expression_to_mouth(expression),
        has_face=is_trusted,
        shots=load_landmarks(inputs["landmarks"] / "landmarks.npz").shots,
        scale=space.scale,
        lips=lips,
        gap_mm=gap_mm,
    )
    return footage, space


def measure_mouth(model: MorphableModel, track: TrackCoefficients, config: A2EConfig) -> MouthSpace:
    """The actor's mouth space: what they were seen to do with lips and chin."""
    return fit_mouth_space(
        track.expression.numpy(),
        np.asarray(track.is_trusted),
        mouth_basis(model),
        model.lower_units.numpy(),
        config.components,
    )


def mouth_basis(model: MorphableModel) -> np.ndarray:
    """(E, D) millimetres per unit: the expression basis at lips and chin, flattened."""
    visible = model.regions["lips"] | (model.regions["lower_face"] & (model.mean[:, 1] > 50.0))
    basis: np.ndarray = model.expression_basis[:, visible].flatten(1).numpy()
    return basis


def footage_of(said: Utterance, space: MouthSpace, own: Footage) -> Footage:
    """A sentence of pseudo video in the actor's mouth space, inside what the actor can do."""
    mouth = space.clamp(space.expression_to_mouth(said.expression))
    shots = [(0, len(mouth))]
    return Footage(
        *(said.samples, said.frame_seconds, mouth, said.has_face, shots),
        *(space.scale, own.lips, own.gap_mm),
    )


TRAIN_A2E = Stage(
    "train_a2e",
    reads=("ingest", "landmarks", "fit", "pseudo", "face_model"),
    revision=4,
    compute=compute,
    section="a2e",
    also=("fit", "landmarks", "seed"),
    resumable=True,
)
TRAIN_A2E_BEGUN = replace(TRAIN_A2E, reads=(*TRAIN_A2E.reads, "prior"))  # with `prior_source`
