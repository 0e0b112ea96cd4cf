"""In which number format a device multiplies fastest."""

from __future__ import annotations

import torch


def choose_precision(device: torch.device) -> torch.dtype:
    """Choose the number format the device multiplies fastest without losing the picture.

    Args:
        device: where a network runs.

    Returns:
        bfloat16 on GPUs and on processors with instructions for it, else float32: a processor
        without them emulates it, several times slower.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        abilities = torch.cpu.get_capabilities()
        if abilities.get("avx512_bf16") or abilities.get("amx_bf16"):
            return torch.bfloat16
    return torch.float32
