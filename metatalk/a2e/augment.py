"""Vary the training sound as other microphones, rooms, levels and vocal tracts would."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from metatalk.a2e.config import AugmentConfig
from metatalk.lipsync.mel import DB_PER_UNIT, SILENCE
from metatalk.shapes import check_shape

_EQUALISER_KNOTS = 6


def augment_mel(mel: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Vary a share of windows of a mel spectrogram, each in its own way.

    Args:
        mel: (B, 80, W) mel units in [-4, 4].
        config: how strongly.
        generator: source of the random numbers.

    Returns:
        (B, 80, W) mel units in [-4, 4].
    """
    check_shape("mel", mel, "B N W")
    varied = warp_bands(mel, _uniform(mel, config.warp, generator))
    varied = varied + _level_and_equaliser(mel, config, generator) / DB_PER_UNIT
    varied = _add_noise(varied, config.noise, generator)
    # Some windows stay as recorded: the driving voice is often the actor's own.
    chosen = torch.rand(len(mel), 1, 1, generator=generator) < config.share
    return varied.clamp(SILENCE, -SILENCE).where(chosen, mel)


def warp_bands(mel: Tensor, warp: Tensor) -> Tensor:
    """Read the bands at stretched positions, as a longer or shorter vocal tract would place them.

    Args:
        mel: (B, 80, W) mel units.
        warp: (B,) relative change; 0.1 reads each band 10 % higher up.

    Returns:
        (B, 80, W); positions past the last band repeat it.

    Source: Jaitly & Hinton 2013 (VTLP). Departs: the mel axis is stretched in place of the
        frequency axis, which is the same below 1 kHz up to a constant and milder above.
    """
    bands = mel.shape[1]
    position = torch.arange(bands) * (1 + warp[:, None])  # (B, 80)
    position = position.clamp(0, bands - 1)
    low = position.floor().long().clamp(max=bands - 2)
    weight = (position - low)[..., None]
    index = low[..., None].expand(-1, -1, mel.shape[2])
    return mel.gather(1, index) * (1 - weight) + mel.gather(1, index + 1) * weight


def mask_features(features: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Blank one run of bands and one run of columns of each window.

    Args:
        features: (B, C, W) normalised; 0 is the mean of speech.
        config: the longest runs.
        generator: source of the random numbers.

    Returns:
        (B, C, W).

    Source: Park et al. 2019 (SpecAugment), one mask along each axis.
    """
    bands = _run_mask(features, 1, config.mask_bands, generator)[:, :, None]
    columns = _run_mask(features, 2, config.mask_columns, generator)[:, None, :]
    return features.masked_fill(bands | columns, 0.0)


def drop_mel(mel: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Take the mel from a share of the windows, so that what else is heard is relied upon.

    The mel knows the actor's own voice best, and other voices least.

    Args:
        mel: (B, 80, W) normalised; 0 is the mean of speech.
        share: of the windows.
        generator: source of the random numbers.

    Returns:
        (B, 80, W).

    Source: Neverova et al. 2016 (ModDrop).
    """
    dropped = torch.rand(len(mel), 1, 1, generator=generator) < share
    return mel.masked_fill(dropped, 0.0)


def _uniform(like: Tensor, limit: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(len(like), generator=generator) * 2 - 1) * limit


def _level_and_equaliser(mel: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    level = torch.randn(len(mel), 1, 1, generator=generator) * config.gain_db
    knots = torch.randn(len(mel), 1, _EQUALISER_KNOTS, generator=generator) * config.equaliser_db
    curve = functional.interpolate(knots, mel.shape[1], mode="linear", align_corners=True)
    return level + curve.transpose(1, 2)  # (B, 80, 1) decibels


def _add_noise(mel: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Add steady noise 10 to 40 dB below the speech to a share of the windows, as power adds."""
    batch, bands, _ = mel.shape
    loud = mel.amax(dim=(1, 2), keepdim=True) * DB_PER_UNIT
    below = 10 + 30 * torch.rand(batch, 1, 1, generator=generator)
    colour = 6 * torch.randn(batch, bands, 1, generator=generator)
    chosen = torch.rand(batch, 1, 1, generator=generator) < share
    noise = (loud - below + colour).where(chosen, torch.tensor(-1e3))
    to_log_power = torch.log(torch.tensor(10.0)) / 10
    together = torch.logaddexp(mel * DB_PER_UNIT * to_log_power, noise * to_log_power)
    return together / (to_log_power * DB_PER_UNIT)


def _run_mask(features: Tensor, axis: int, longest: int, generator: torch.Generator) -> Tensor:
    size, batch = features.shape[axis], len(features)
    length = (torch.rand(batch, 1, generator=generator) * (min(longest, size) + 1)).floor()
    start = (torch.rand(batch, 1, generator=generator) * (size - length + 1)).floor()
    place = torch.arange(size)
    return (place >= start) & (place < start + length)  # (B, size)
