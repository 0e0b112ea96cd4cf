"""Train renderer: the actor's texture, learned from crops of the footage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from metatalk.fitting.config import FitConfig
from metatalk.landmarks.config import LandmarksConfig
from metatalk.neural.config import NeuralConfig
from metatalk.neural.training import train_renderer
from metatalk.render.config import RenderConfig
from metatalk.stages.artefacts import checkpoint_keeper, save_weights
from metatalk.stages.device import choose_device
from metatalk.stages.face_model import open_face_model
from metatalk.stages.library import open_dated_crops, open_material
from metatalk.stages.samples import discard_samples, prepare_samples
from metatalk.stages.stage import Progress, Stage
from metatalk.stages.training_log import TrainingLog
from metatalk.workspace.manifest import Metrics


def compute(
    inputs: Mapping[str, Path],
    config: NeuralConfig,
    out: Path,
    progress: Progress,
    *,
    seed: int,
    device: str,
    fit: FitConfig,
    landmarks: LandmarksConfig,
    render: RenderConfig,
) -> Metrics:
    """Train; real, synthetic and generated frames are laid side by side on the way."""
    crops, where = open_dated_crops(inputs), choose_device(device)
    pools = None
    if config.network == "carried":
        model = open_face_model(fit.face_model, landmarks)
        material = open_material(inputs, crops, model, render)
        pools = prepare_samples(material, config, out / "samples", seed, progress)
    checkpoint = out / "checkpoint.pt"
    save, load = checkpoint_keeper(checkpoint)
    with TrainingLog(out) as watcher:
        trained = train_renderer(crops, config, where, seed, progress, save, load, watcher, pools)
    save_weights(out / "generator.safetensors", trained.state)
    # In this order: a run that is killed here finds either everything or nothing to go on from.
    discard_samples(out / "samples")
    checkpoint.unlink(missing_ok=True)
    return {**trained.metrics}


TRAIN_RENDERER = Stage(
    "train_renderer",
    reads=("ingest", "landmarks", "fit", "render", "face_model"),
    revision=2,
    compute=compute,
    section="neural",
    also=("seed", "device", "fit", "landmarks", "render"),
    resumable=True,
)
