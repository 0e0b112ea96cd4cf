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


def texture_loss(made: Tensor, real: Tensor, weight: Tensor, levels: int = 2) -> Tensor:
    """Compare how much detail there is, band by band and place by place, not where it lies.

    An L1 error rewards skin without pores: pores in the wrong places cost twice as much as none.
    The logarithm of the detail's local energy asks for as much of it as the footage has, and
    for no more.

    Args:
        made: (B, 3, H, W) generated.
        real: (B, 3, H, W) target.
        weight: (B, 1, H, W) 1 where it counts, else 0.
        levels: number of bands, finest first; sides divisible by 8 * 2 ** levels.

    Returns:
        The mean absolute difference of the logarithms over patches of 8 pixels of each band.
    """
    total = made.new_zeros(())
    bands = zip(laplacian_bands(_grey(made), levels), laplacian_bands(_grey(real), levels),
                strict=True)  # fmt: skip
    for ours, theirs in bands:
        mass = functional.avg_pool2d(weight, 8)
        energy = [
            (functional.avg_pool2d(band.square() * weight, 8) / (mass + 1e-2) + 1e-5).log()
            for band in (ours, theirs)
        ]
        total = total + weighted_l1(energy[0], energy[1], mass)
        weight = functional.avg_pool2d(weight, 2)
    return total / levels


def change_loss(made: Tensor, real: Tensor, weight: Tensor) -> Tensor:
    """Compare what changes from a frame to the next: skin that rests is to rest.

    Args:
        made: (2 * B, C, H, W) generated, the two frames of each pair one after the other.
        real: (2 * B, C, H, W) target.
        weight: (2 * B, 1, H, W) at least zero.

    Returns:
        The weighted mean absolute error of the changes.
    """
    change = lambda pictures: pictures[1::2] - pictures[::2]  # noqa: E731
    return weighted_l1(change(made), change(real), weight[1::2] * weight[::2])


def _grey(picture: Tensor) -> Tensor:
    return picture.mean(1, keepdim=True)
