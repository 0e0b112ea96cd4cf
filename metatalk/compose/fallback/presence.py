"""How much of a new face a frame takes near those that have none."""

from __future__ import annotations

import numpy as np

from metatalk.shapes import check_shape


def presence(has_face: np.ndarray, shots: np.ndarray, fade_frames: int) -> np.ndarray:
    """Fade the new face out before the track is lost and in after it is found again.

    Args:
        has_face: (T,) bool.
        shots: (K, 2) first frame and one past the last of each shot; a cut needs no fade.
        fade_frames: length of the fade.

    Returns:
        (T,) float32: 0 where there is no face, rising to 1 within the fade.
    """
    check_shape("has_face", has_face, "T")
    strength = has_face.astype(np.float32)
    for first, end in shots:
        lost = first + np.flatnonzero(~has_face[first:end])
        if len(lost):
            frames = np.arange(first, end)
            after = np.searchsorted(lost, frames).clip(0, len(lost) - 1)
            gaps = np.stack([frames - lost[(after - 1).clip(0)], lost[after] - frames])
            nearest = np.abs(gaps).min(0)
            strength[first:end] *= np.clip(nearest / (fade_frames + 1), 0, 1)
    return strength
