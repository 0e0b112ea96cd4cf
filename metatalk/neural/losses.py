"""What the renderer is trained to lower; nothing here needs downloaded weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def weighted_l1(made: Tensor, real: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute error where it counts.

    Args:
        made: (B, C, H, W) generated.
        real: (B, C, H, W) target.
        weight: (B, 1, H, W) at least zero.

    Returns:
        The weighted mean over pixels and channels; zero where nothing has weight.
    """
    error = (made - real).abs().mean(1, keepdim=True)
    return (error * weight).sum() / weight.sum().clamp_min(1e-6)


def laplacian_bands(picture: Tensor, levels: int = 3) -> list[Tensor]:
    """Split a picture into bands of detail, finest first.

    Args:
        picture: (B, C, H, W), sides divisible by 2 ** levels.
        levels: number of bands.

    Returns:
        `levels` pictures, each half the size of the one before; the rest (the low-pass
        picture) is left out.

    Source: Burt & Adelson 1983. Departs: 2x2 means and bilinear enlargement.
    """
    bands = []
    for _ in range(levels):
        smaller = functional.avg_pool2d(picture, 2)
        larger = functional.interpolate(
            smaller, scale_factor=2, mode="bilinear", align_corners=False
        )
        bands.append(picture - larger)
        picture = smaller
    return bands


def pyramid_loss(made: Tensor, real: Tensor, weight: Tensor, levels: int = 3) -> Tensor:
    """Mean absolute error of the detail bands where it counts, every band counting alike.

    Args:
        made: (B, 3, H, W) generated.
        real: (B, 3, H, W) target.
        weight: (B, 1, H, W) at least zero, as in `weighted_l1`.
        levels: number of bands.

    Returns:
        The mean over the bands.
    """
    total = made.new_zeros(())
    for band in laplacian_bands(made - real, levels):  # the split is linear
        total = total + weighted_l1(band, torch.zeros_like(band), weight)
        weight = functional.avg_pool2d(weight, 2)
    return total / levels


def discriminator_hinge(on_real: Tensor, on_made: Tensor) -> Tensor:
    """The discriminator's loss: scores of footage above 1, of generated pictures below -1.

    Source: Lim & Ye 2017, eq. 10.
    """
    return functional.relu(1 - on_real).mean() + functional.relu(1 + on_made).mean()


def generator_hinge(on_made: Tensor) -> Tensor:
    """The generator's loss: the discriminator's mean score of its pictures, negated."""
    return -on_made.mean()


def feature_matching(made: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of the discriminator's features, layers counting alike.

    Source: Wang et al. 2018 (pix2pixHD), eq. 4.
    """
    pairs = list(zip(made, real, strict=True))
    return torch.stack([functional.l1_loss(a.float(), b.float()) for a, b in pairs]).mean()
