"""Train renderer: the actor's texture, learned from crops of the footage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2

from metatalk.neural.config import NeuralConfig
from metatalk.neural.contact import draw_contact_sheet
from metatalk.neural.generator import build_generator
from metatalk.neural.infer import prepare_for_rendering
from metatalk.neural.training import train_renderer
from metatalk.stages.artefacts import checkpoint_keeper, open_crops, save_weights
from metatalk.stages.device import choose_device
from metatalk.stages.stage import Progress, Stage
from metatalk.workspace.manifest import Metrics


def compute(
    inputs: Mapping[str, Path],
    config: NeuralConfig,
    out: Path,
    progress: Progress,
    *,
    seed: int,
    device: str,
) -> Metrics:
    """Train, then lay real, synthetic and generated frames side by side."""
    crops, where = open_crops(inputs["render"]), choose_device(device)
    checkpoint = out / "checkpoint.pt"
    save, load = checkpoint_keeper(checkpoint)
    trained = train_renderer(crops, config, where, seed, progress, save, load)
    save_weights(out / "generator.safetensors", trained.state)
    shown = trained.held_out_frames if len(trained.held_out_frames) else trained.train_frames
    generator = prepare_for_rendering(build_generator(config, trained.state), where)
    sheet = draw_contact_sheet(generator, crops, shown)
    cv2.imwrite(str(out / "contact_sheet.png"), sheet[..., ::-1])
    checkpoint.unlink(missing_ok=True)
    return {**trained.metrics}


TRAIN_RENDERER = Stage(
    "train_renderer",
    reads=("render",),
    revision=1,
    compute=compute,
    section="neural",
    also=("seed", "device"),
    resumable=True,
)
