"""Export renderer: the trained generator for programs without PyTorch."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from metatalk.config import Config, load_settings
from metatalk.errors import ConfigError, StaleArtefactError
from metatalk.neural.infer import build_network
from metatalk.neural.onnx_export import (
    TOLERANCE,
    channel_names,
    generator_to_onnx,
    largest_difference,
    require_onnx,
)
from metatalk.neural.onnx_int8 import mean_difference, quantize, see_inputs
from metatalk.neural.pictures import read_pictures, trial_pictures
from metatalk.neural.pix2pix import Pix2PixGenerator
from metatalk.neural.scoring import spread_frames
from metatalk.stages.actor import require_renderer_version
from metatalk.stages.artefacts import CropPlan, load_crop_plan, load_weights
from metatalk.stages.face_model import open_face_model
from metatalk.stages.library import open_dated_crops, open_material
from metatalk.stages.provenance import MARK, result_entries, write_result_ledger
from metatalk.stages.samples import carry_to
from metatalk.stages.stage import STAGE_NAMES
from metatalk.workspace.actor import ActorFolder, disk_errors_remedied
from metatalk.workspace.footage import remembered_clips
from metatalk.workspace.ledger import Entry
from metatalk.workspace.manifest import Manifest, Metrics
from metatalk.workspace.output import require_apart, require_output

ENDING = ".onnx"
SAMPLES = 32  # frames that eight bits are scaled by
CHECKED = 8  # of them drawn in both forms
NOTICE = (
    "Pictures made with this network are synthetic. It shows a real person and serves only what "
    "that person has agreed to; mark what is made with it as synthetic."
)


def export_renderer(actor: Path, output: Path, int8: bool = False) -> Metrics:
    """Write an actor's neural renderer as an ONNX model, checked against PyTorch.

    Args:
        actor: the actor folder; its renderer is trained, its voice need not be.
        output: the file to write, .onnx; `OUTPUT.ledger.json` is written beside it.
        int8: in eight bits, scaled by the actor's own crops, not in float32.

    Returns:
        What was written: channels, crop size, parameters, bytes, seconds, and of colours in
        [0, 1] the largest difference between float32 and PyTorch, and the mean one of int8.

    Raises:
        MetatalkError: whatever the user can mend.
    """
    started = time.monotonic()
    if output.suffix.lower() != ENDING:
        raise ConfigError(f"{output}: a renderer leaves as {ENDING}", f"end -o in {ENDING}")
    require_onnx()
    require_apart(output, STAGE_NAMES, [actor])
    require_output(output, remembered_clips(actor))
    folder = ActorFolder(actor)
    with folder.lock(shared=True):
        manifest, plan = _require_renderer(folder)
        entries = result_entries(actor, None)
        settings = manifest.cause.settings
        sections = ("fit", "landmarks", "render", "neural")
        made = load_settings({name: settings[name] for name in sections if name in settings})
        weights = load_weights(folder.path("train_renderer") / "generator.safetensors")
        generator = build_network(made.neural, weights).eval().requires_grad_(False)
        samples = _see_samples(folder, generator, made) if int8 else []
    content = generator_to_onnx(generator, plan.size, _facts(manifest, plan, entries))
    checked = {"largest_difference": largest_difference(content, generator, plan.size)}
    # A network that the exporter cannot follow is our mistake.
    if not checked["largest_difference"] <= TOLERANCE:
        raise RuntimeError(f"the ONNX model differs from PyTorch's: {checked}")
    if int8:
        whole, content = content, quantize(content, samples)
        checked["int8_mean_difference"] = mean_difference(whole, content, samples[:CHECKED])
    with disk_errors_remedied(output.parent):
        _write_whole(output, content)
        write_result_ledger(output, entries)
    return {
        "output": str(output),
        "crop_px": plan.size,
        "channels": len(channel_names(generator)),
        "parameters": sum(part.numel() for part in generator.parameters()),
        "bytes": len(content),
        **checked,
        "seconds": time.monotonic() - started,
    }


def _require_renderer(folder: ActorFolder) -> tuple[Manifest, CropPlan]:
    """The record of the trained renderer, and the crops that it was trained on."""
    for stage in ("render", "train_renderer"):
        folder.require(stage)
    require_renderer_version(folder)
    crops, trained = folder.manifest("render"), folder.manifest("train_renderer")
    assert crops is not None
    assert trained is not None
    if trained.cause.inputs["render"] != crops.outputs:
        raise StaleArtefactError(
            "train_renderer was learned from another render than the one that is there now",
            f"metatalk train CLIP --actor {folder.root} --rerun train_renderer",
        )
    return trained, load_crop_plan(folder.path("render") / "crops.json")


def _see_samples(folder: ActorFolder, generator: nn.Module, made: Config) -> list[np.ndarray]:
    """What the network takes for frames from all over the training clip."""
    inputs = {name: folder.path(name) for name in ("ingest", "landmarks", "fit", "render")}
    crops = open_dated_crops(inputs)
    rows = spread_frames(np.arange(len(crops.real)), SAMPLES)
    if isinstance(generator, Pix2PixGenerator):
        return see_inputs(generator, read_pictures(crops, rows, generator.temporal_reach))
    model = open_face_model(made.fit.face_model, made.landmarks)
    material = open_material(inputs, crops, model, made.render)
    with tempfile.TemporaryDirectory() as scratch:
        trial = carry_to(material, rows, Path(scratch))
        return see_inputs(generator, trial_pictures(crops, trial, rows))


def _facts(manifest: Manifest, plan: CropPlan, entries: list[Entry]) -> dict[str, Any]:
    """What the model says about itself, beside its channels."""
    return {
        **MARK,
        "notice": NOTICE,
        "crop_layout": asdict(plan.layout),
        "trained": manifest.made,
        "network": dict(manifest.cause.settings["neural"]),
        "ledger": [asdict(entry) for entry in entries],
    }


def _write_whole(output: Path, content: bytes) -> None:
    """Write under another name first: all of it comes to its place, or nothing."""
    partial = output.with_name(f".{output.stem}.{os.getpid()}{output.suffix}")
    try:
        partial.write_bytes(content)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
