"""Rendering with a trained generator: batches, number format, memory layout."""

from __future__ import annotations

import copy

import numpy as np
import torch

from metatalk.neural.batches import to_pictures
from metatalk.neural.generator import Generator, order_channels_last, stack_inputs
from metatalk.shapes import check_shape


def choose_precision(device: torch.device) -> torch.dtype:
    """Choose the number format the device multiplies fastest without losing the picture.

    Args:
        device: where the network runs.

    Returns:
        bfloat16 on GPUs and on processors with instructions for it, else float32.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        abilities = torch.cpu.get_capabilities()
        if abilities.get("avx512_bf16") or abilities.get("amx_bf16"):
            return torch.bfloat16
    return torch.float32


def prepare_for_rendering(generator: Generator, device: torch.device) -> Generator:
    """Copy a generator into the form that renders fastest.

    Args:
        generator: trained, float32; it is left as it is.
        device: where to render.

    Returns:
        A copy on the device, in its fastest number format, channels last, without gradients.
    """
    fast = copy.deepcopy(generator).eval().requires_grad_(False)
    return order_channels_last(fast.to(device, dtype=choose_precision(device)))


@torch.inference_mode()
def render_lower(
    generator: Generator,
    synthetic: np.ndarray,
    real: np.ndarray,
    mask: np.ndarray,
    batch: int = 8,
) -> np.ndarray:
    """Render lower faces.

    Args:
        generator: any, best from `prepare_for_rendering`; its device and format are used.
        synthetic: (B, S, S, 3) uint8 shaded synthetic lower face on black, RGB.
        real: (B, S, S, 3) uint8 footage; only what lies outside the mask is looked at.
        mask: (B, S, S) uint8, 255 where the lower face is to be generated, else 0.
        batch: pictures at a time.

    Returns:
        (B, S, S, 3) float32 RGB in [0, 1]. Inside the mask it is the new lower face; around it
        the network repeats the surroundings, so that a soft edge has something to fade into.

    Raises:
        ShapeError: shapes that disagree, or a side that is not a multiple of 16.
    """
    sizes = check_shape("synthetic", synthetic, "B S S 3")
    check_shape("real", real, "B S S 3", **sizes)
    check_shape("mask", mask, "B S S", **sizes)
    weight = next(generator.parameters())
    made = np.empty(synthetic.shape, np.float32)
    for start in range(0, sizes["B"], batch):
        part = slice(start, start + batch)
        pictures = (to_pictures(array[part], weight.device) for array in (synthetic, real, mask))
        inputs = stack_inputs(*pictures).contiguous(memory_format=torch.channels_last)
        made[part] = generator(inputs).permute(0, 2, 3, 1).cpu().numpy()
    return made
