"""The generator: synthetic lower face and real surroundings in, photographic lower face out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from metatalk.errors import ShapeError
from metatalk.neural.config import GRID_PX, NeuralConfig
from metatalk.shapes import check_shape

ModuleKind = TypeVar("ModuleKind", bound=nn.Module)
GRAIN_PX = 256  # side of the patterns, which repeat beyond it
INPUT_CHANNELS = 7  # synthetic RGB, surroundings RGB, mask


def stack_inputs(synthetic: Tensor, real: Tensor, mask: Tensor) -> Tensor:
    """Put together what the generator sees; the real lower face is not part of it.

    Args:
        synthetic: (B, 3, H, W) shaded synthetic lower face, RGB in [0, 1], black elsewhere.
        real: (B, 3, H, W) footage, RGB in [0, 1]; used outside the mask only.
        mask: (B, 1, H, W) 1 where the lower face is to be generated, else 0.

    Returns:
        (B, 7, H, W): synthetic RGB, surroundings RGB, mask.
    """
    sizes = check_shape("synthetic", synthetic, "B 3 H W")
    check_shape("real", real, "B 3 H W", **sizes)
    check_shape("mask", mask, "B 1 H W", **sizes)
    return torch.cat([synthetic, real * (1 - mask), mask], dim=1)


class Residual(nn.Module):
    """Two convolutions around a shortcut; it starts close to the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        keep_variance(self)
        scale_weights(self.second, 0.1)

    def forward(self, features: Tensor) -> Tensor:
        hidden = functional.leaky_relu(self.first(features), 0.2)
        return functional.leaky_relu(features + self.second(hidden), 0.2)


class Grain(nn.Module):
    """Multiplies features by a fixed random pattern, each channel as much as it learns to.

    Stubble and pores are irregular; a network without chance in it draws them as a mesh. The
    pattern stays where it is from frame to frame, so that it does not boil.

    Source: Karras et al. 2019, section 3.2. Departs: fixed, and multiplied in place of added, so
    that smooth skin stays smooth.
    """

    pattern: Tensor

    def __init__(self, width: int, seed: int) -> None:
        super().__init__()
        chance = torch.Generator().manual_seed(seed)
        pattern = torch.randn(1, 1, GRAIN_PX, GRAIN_PX, generator=chance)
        self.register_buffer("pattern", pattern, persistent=False)
        self.strength = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        height, width = features.shape[2:]
        tiles = (math.ceil(height / GRAIN_PX), math.ceil(width / GRAIN_PX))
        pattern = self.pattern.repeat(1, 1, *tiles)[..., :height, :width]
        return features * (1 + self.strength * pattern)


class Up(nn.Module):
    """Twice the resolution by pixel shuffle, joined with the encoder's features by addition."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(width_in, 4 * width_out, 1)
        self.grain = Grain(width_out, seed=width_in)
        self.merge = nn.Conv2d(width_out, width_out, 3, padding=1)
        keep_variance(self)
        align_subpixels(self.expand)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        wide = functional.pixel_shuffle(self.expand(features), 2) + skip
        return functional.leaky_relu(self.merge(self.grain(functional.leaky_relu(wide, 0.2))), 0.2)


class Generator(nn.Module):
    """A compact U-Net that works at half resolution and below.

    Four halvings, pixel shuffle back to the full size, and no normalisation, so that a window
    of a picture is rendered as the whole picture is.

    Source: Isola et al. 2017, section 3.2. Departs: strided residual blocks, addition in place
    of concatenation, pixel shuffle; 1.5 M parameters in place of 54 M.
    """

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128, 192)) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = widths
        self.stem = nn.Conv2d(INPUT_CHANNELS, half, 4, stride=2, padding=1)
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1)
            for a, b in ((half, quarter), (quarter, eighth), (eighth, sixteenth))
        )
        self.refine = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=1) for width in (quarter, eighth)
        )
        self.middle = Residual(sixteenth)
        self.up = nn.ModuleList((Up(sixteenth, eighth), Up(eighth, quarter), Up(quarter, half)))
        self.head = nn.Conv2d(half, 12, 3, padding=1)
        for layer in (self.stem, *self.down, *self.refine, self.head):
            keep_variance(layer)
        scale_weights(self.head, 0.1)
        align_subpixels(self.head)

    def forward(self, inputs: Tensor) -> Tensor:
        """Render.

        Args:
            inputs: (B, 7, H, W) from `stack_inputs`; H and W multiples of 16.

        Returns:
            (B, 3, H, W) float32 RGB in [0, 1], in the mask the new lower face, elsewhere close to
            the surroundings.

        Raises:
            ShapeError: other channels, or a side that is not a multiple of 16.
        """
        sizes = check_shape("inputs", inputs, f"B {INPUT_CHANNELS} H W")
        if sizes["H"] % GRID_PX or sizes["W"] % GRID_PX:
            raise ShapeError(
                f"the crop is {sizes['W']}x{sizes['H']} pixels",
                f"choose a crop size that is a multiple of {GRID_PX}",
            )
        half = functional.leaky_relu(self.stem((inputs - 0.5).to(self.stem.weight.dtype)), 0.2)
        quarter = self._descend(0, half)
        eighth = self._descend(1, quarter)
        deep = self.middle(functional.leaky_relu(self.down[2](eighth), 0.2))
        features = self.up[0](deep, eighth)
        features = self.up[2](self.up[1](features, quarter), half)
        return torch.sigmoid(functional.pixel_shuffle(self.head(features), 2).float())

    def _descend(self, level: int, features: Tensor) -> Tensor:
        smaller = functional.leaky_relu(self.down[level](features), 0.2)
        return functional.leaky_relu(smaller + self.refine[level](smaller), 0.2)


def keep_variance(module: nn.Module) -> None:
    """Start convolutions so that contrast passes undiminished, as nothing normalises it later.

    Source: He et al. 2015, eq. 14.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, a=0.2)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


@torch.no_grad()
def scale_weights(layer: nn.Conv2d, factor: float) -> None:
    """Start a layer fainter than its neighbours."""
    layer.weight.mul_(factor)


@torch.no_grad()
def align_subpixels(layer: nn.Conv2d) -> None:
    """Start the layer before a pixel shuffle without a chequered pattern.

    Source: Aitken et al. 2017, section 3.
    """
    layer.weight.copy_(layer.weight[::4].repeat_interleave(4, dim=0))


def build_generator(config: NeuralConfig, state: Mapping[str, Tensor] | None = None) -> Generator:
    """Make a generator, with trained weights where they are given.

    Args:
        config: the section it was, or will be, trained with.
        state: weights from `train_renderer`.

    Returns:
        The generator on the CPU, in float32.
    """
    generator = Generator(tuple(config.widths))
    if state is not None:
        generator.load_state_dict(dict(state))
    return order_channels_last(generator)


def order_channels_last(module: ModuleKind) -> ModuleKind:
    """Lay a network's weights out the way convolutions are fastest; changes it in place."""
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module
