"""The generator: synthetic lower face and real surroundings in, photographic lower face out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from metatalk.errors import ShapeError
from metatalk.neural.config import GRID_PX, NeuralConfig
from metatalk.shapes import check_shape

ModuleKind = TypeVar("ModuleKind", bound=nn.Module)
CANVAS_PX = 128  # texels a side
CANVAS_CHANNELS = 8
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


class Canvas(nn.Module):
    """A learned texture over the crop: what the synthetic face cannot tell, by its place.

    The crops are stabilised, so a place in the crop is nearly a place on the face. Synthetic
    skin is smooth: without the canvas there is nothing irregular to draw stubble from.

    Source: Thies et al. 2019 (neural textures). Departs: in crop coordinates, not on the surface.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.texture = nn.Parameter(torch.empty(1, CANVAS_CHANNELS, CANVAS_PX, CANVAS_PX))
        self.project = nn.Conv2d(CANVAS_CHANNELS, width, 1)
        nn.init.normal_(self.texture, std=0.3)
        keep_variance(self)

    def forward(self, height: int, width: int, places: Tensor | None) -> Tensor:
        """Look up features.

        Args:
            height: rows wanted.
            width: columns wanted.
            places: (B, 4) as in `place_grid`; None for the whole crop.

        Returns:
            (B, C, height, width), B being 1 for the whole crop.
        """
        if places is None:
            size = (height, width)
            seen = functional.interpolate(self.texture, size, mode="bilinear")
        else:
            grid = place_grid(places, height, width).to(self.texture.dtype)
            textures = self.texture.expand(len(places), -1, -1, -1)
            seen = functional.grid_sample(
                textures, grid, padding_mode="border", align_corners=False
            )
        return self.project(seen)


def place_grid(places: Tensor, height: int, width: int) -> Tensor:
    """Turn places of windows into the coordinates of their pixels.

    Args:
        places: (B, 4) left, top, right, bottom as shares of the crop, 0 to 1.
        height: rows of a window.
        width: columns of a window.

    Returns:
        (B, height, width, 2) x and y of the pixel centres; the crop spans -1 to 1.
    """
    rows = (torch.arange(height, device=places.device) + 0.5) / height
    columns = (torch.arange(width, device=places.device) + 0.5) / width
    left, top, right, bottom = places[:, :, None, None].unbind(1)
    x = (left + (right - left) * columns).expand(-1, height, width)
    y = (top + (bottom - top) * rows[:, None]).expand(-1, height, width)
    return torch.stack([x, y], dim=-1) * 2 - 1


class Up(nn.Module):
    """Twice the resolution, joined with the encoder's features by addition.

    Enlarged smoothly: pixel shuffle at these scales was seen to draw stubble as a mesh, as its
    weights differ from subpixel to subpixel.
    """

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(width_in, width_out, 1)
        self.merge = nn.Conv2d(width_out, width_out, 3, padding=1)
        keep_variance(self)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        large = functional.interpolate(
            self.narrow(features), scale_factor=2, mode="bilinear", align_corners=False
        )
        return functional.leaky_relu(self.merge(functional.leaky_relu(large + skip, 0.2)), 0.2)


class Generator(nn.Module):
    """A compact U-Net that works at half resolution and below.

    Four halvings, smooth enlargement, one pixel shuffle to the full size, and no normalisation,
    so that a window of a picture is rendered as the whole picture is.

    Source: Isola et al. 2017, section 3.2. Departs: addition in place of concatenation, a learned
    canvas, no dropout, no normalisation; 1.5 M parameters in place of 54 M.
    """

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128, 192)) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = widths
        self.stem = nn.Conv2d(INPUT_CHANNELS, half, 4, stride=2, padding=1)
        self.canvas = Canvas(half)
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

    def forward(self, inputs: Tensor, places: Tensor | None = None) -> Tensor:
        """Render.

        Args:
            inputs: (B, 7, H, W) from `stack_inputs`; H and W multiples of 16.
            places: (B, 4) left, top, right, bottom of windows, as shares of the crop; None where
                the inputs are whole crops.

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
        stem = self.stem((inputs - 0.5).to(self.stem.weight.dtype))
        canvas = self.canvas(sizes["H"] // 2, sizes["W"] // 2, places)
        half = functional.leaky_relu(stem + canvas, 0.2)
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
