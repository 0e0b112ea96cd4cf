"""Vary windows of faces and of sound, so that a few minutes of footage go further."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from metatalk.lipsync.learning.config import JitterConfig
from metatalk.lipsync.mel import BANDS, SILENCE
from metatalk.lipsync.wav2lip import FACE_PX

_RIPPLE_BANDS = 20  # over which the random equaliser is smoothed


def plain_faces(faces: np.ndarray) -> np.ndarray:
    """Cut the generator's box out of prepared faces.

    Args:
        faces: (T, 128, 128, 3) uint8.

    Returns:
        (T, 96, 96, 3) uint8.
    """
    margin = (faces.shape[1] - FACE_PX) // 2
    inner = slice(margin, margin + FACE_PX)
    return np.ascontiguousarray(faces[:, inner, inner])


def jitter_faces(
    windows: Sequence[np.ndarray], config: JitterConfig, dice: np.random.Generator
) -> list[np.ndarray]:
    """Move, zoom, mirror and re-colour windows, all of them alike.

    Args:
        windows: (T, 128, 128, 3) uint8 each.
        config: how much.
        dice: decides.

    Returns:
        (T, 96, 96, 3) uint8 each.
    """
    placed = _placement(windows[0].shape[1], config, dice)
    table = _colour_table(config, dice)
    return [_vary(window, placed, table) for window in windows]


def jitter_mels(mels: np.ndarray, config: JitterConfig, dice: np.random.Generator) -> np.ndarray:
    """Make sound louder or quieter and pass it through a random, slowly rippling equaliser.

    Args:
        mels: (N, 80, 16); all are varied alike.
        config: how much.
        dice: decides.

    Returns:
        (N, 80, 16) float32 within [-4, 4]; what was digital silence stays it.
    """
    gain = dice.uniform(-config.loudness, config.loudness)
    noise = dice.normal(0, config.equaliser, BANDS + _RIPPLE_BANDS - 1)
    ripple = np.convolve(noise, np.full(_RIPPLE_BANDS, _RIPPLE_BANDS**-0.5), "valid")  # (80,)
    varied = np.clip(mels + (gain + ripple)[:, None], SILENCE, -SILENCE)
    return np.where(mels <= SILENCE, mels, varied).astype(np.float32)


def _placement(stored_px: int, config: JitterConfig, dice: np.random.Generator) -> np.ndarray:
    """(2, 3): from the varied face's pixels to the prepared one's."""
    size = 1 + dice.uniform(-config.zoom, config.zoom)
    across, down = dice.uniform(-config.shift_px, config.shift_px, 2)
    mirror = -1.0 if config.mirror and dice.random() < 0.5 else 1.0
    middle, last = (stored_px - 1) / 2, (FACE_PX - 1) / 2
    return np.array([
        [mirror * size, 0, middle + across - mirror * size * last],
        [0, size, middle + down - size * last],
    ])  # fmt: skip


def _colour_table(config: JitterConfig, dice: np.random.Generator) -> np.ndarray:
    """(256, 3) uint8: what each value of each colour becomes."""
    contrast = 1 + dice.uniform(-config.contrast, config.contrast)
    lift = dice.uniform(-config.brightness, config.brightness, 3)
    values = (np.arange(256)[:, None] / 255 - 0.5) * contrast + 0.5 + lift
    return (np.clip(values, 0, 1) * 255).round().astype(np.uint8)


def _vary(window: np.ndarray, placed: np.ndarray, table: np.ndarray) -> np.ndarray:
    out = np.empty((len(window), FACE_PX, FACE_PX, 3), np.uint8)
    for face, drawn in zip(window, out, strict=True):
        cv2.warpAffine(
            np.ascontiguousarray(face),
            placed,
            (FACE_PX, FACE_PX),
            dst=drawn,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    return np.stack([table[out[..., colour], colour] for colour in range(3)], axis=-1)
