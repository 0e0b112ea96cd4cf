"""Rendering with a trained network: batches, number format, memory layout."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from metatalk.errors import ShapeError
from metatalk.neural.config import NeuralConfig
from metatalk.neural.generator import Generator, build_generator, order_channels_last
from metatalk.neural.pictures import CropPictures, CropRenderer
from metatalk.neural.pix2pix import build_pix2pix
from metatalk.neural.processor import ProcessorRenderer
from metatalk.precision import choose_precision


def build_network(config: NeuralConfig, state: Mapping[str, Tensor]) -> nn.Module:
    """Rebuild a trained network.

    Args:
        config: the section it was trained with.
        state: weights from `train_renderer`.

    Returns:
        The network that `config.network` names, on the CPU, in float32.
    """
    if config.network == "pix2pix":
        return build_pix2pix(state)
    return build_generator(config, state)


def prepare_for_rendering(generator: nn.Module, device: torch.device) -> nn.Module:
    """Copy a network into the form that renders fastest.

    Args:
        generator: trained, float32; it is left as it is.
        device: where to render.

    Returns:
        A copy on the device, in its fastest number format, channels last, without gradients;
        ours, on the processor, in a `ProcessorRenderer`.
    """
    fast = copy.deepcopy(generator).eval().requires_grad_(False)
    fast = order_channels_last(fast.to(device, dtype=choose_precision(device)))
    if isinstance(fast, Generator) and device.type == "cpu":
        return ProcessorRenderer(fast)
    return fast


@dataclass(frozen=True, eq=False)
class Rendered:
    """Lower faces as a network has made them."""

    # (B, S, S, 3) float32 RGB in [0, 1]. Inside the mask it is the new lower face; around it
    # the network repeats the surroundings, so that a soft edge has something to fade into, and
    # colours something to be compared with. Farther away it may be the footage itself.
    picture: np.ndarray
    # (B, S, S) float32 weight with which the footage's own fine texture is let through; None
    # where the network does not say.
    passed: np.ndarray | None


@torch.inference_mode()
def render_crops(generator: nn.Module, pictures: CropPictures, batch: int = 8) -> Rendered:
    """Render lower faces.

    Args:
        generator: any, best from `prepare_for_rendering`; its device and format are used.
        pictures: what there is to look at. Where the network looks at neighbours and none are
            given, the pictures are taken for consecutive frames of one shot.
        batch: pictures at a time.

    Returns:
        The lower faces.

    Raises:
        ShapeError: a side that the network cannot halve often enough.
    """
    if not isinstance(generator, CropRenderer):
        raise ShapeError(
            f"{type(generator).__name__} cannot render from crops",
            "give a network that has `temporal_reach` and `draw`, such as build_network's",
        )
    if isinstance(generator, ProcessorRenderer):
        return Rendered(*generator.draw_crops(pictures))
    pictures = _with_neighbours(pictures, generator.temporal_reach)
    device = next(generator.parameters()).device
    made = np.empty(pictures.synthetic.shape, np.float32)
    passed: np.ndarray | None = None
    for start in range(0, len(pictures), batch):
        part = slice(start, start + batch)
        drawn = generator.draw(pictures.take(part).to(device))
        made[part] = drawn.picture.float().permute(0, 2, 3, 1).cpu().numpy()
        if drawn.passed is not None:
            passed = np.empty(pictures.mask.shape, np.float32) if passed is None else passed
            passed[part] = drawn.passed[:, 0].float().cpu().numpy()
    return Rendered(made, passed)


def _with_neighbours(pictures: CropPictures, reach: int) -> CropPictures:
    if not reach or pictures.neighbours is not None or not len(pictures):
        return pictures
    near = np.arange(len(pictures))[:, None] + np.arange(-reach, reach + 1)
    stack = pictures.synthetic[near.clip(0, len(pictures) - 1)]
    return replace(pictures, neighbours=stack)
