"""Faces as the networks take them: BGR in [0, 1], on the device where the faces are."""

from __future__ import annotations

import torch
from torch import Tensor

from metatalk.lipsync.wav2lip import FACE_PX


def to_bgr(faces: Tensor) -> Tensor:
    """Turn pictures into channels.

    Args:
        faces: (..., H, W, 3) uint8 RGB.

    Returns:
        (..., 3, H, W) float32 BGR in [0, 1].
    """
    return faces.flip(-1).movedim(-1, -3).float() / 255


def lower_halves(faces: Tensor) -> Tensor:
    """Stack the lower halves of windows as the expert takes them.

    Args:
        faces: (B, 5, 96, 96, 3) uint8 RGB.

    Returns:
        (B, 15, 48, 96) float32 BGR in [0, 1], frame by frame.
    """
    return to_bgr(faces[:, :, FACE_PX // 2 :]).flatten(1, 2)


def stack_windows(targets: Tensor, references: Tensor) -> Tensor:
    """Lay out windows as the generator takes them, one row a frame.

    Args:
        targets: (B, 5, 96, 96, 3) uint8 RGB; their lower halves are not looked at.
        references: (B, 5, 96, 96, 3) uint8 RGB.

    Returns:
        (5 B, 6, 96, 96) float32: the target with its lower half zero, then the reference.
    """
    upper = to_bgr(targets)
    upper[..., FACE_PX // 2 :, :] = 0
    stacked = torch.cat([upper, to_bgr(references)], dim=2).flatten(0, 1)
    return stacked.contiguous(memory_format=torch.channels_last)
