"""The networks of pix2pix, as the papers use them: the U-Net and the 70x70 PatchGAN."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from metatalk.errors import ShapeError
from metatalk.neural.pictures import Drawn, PictureTensors
from metatalk.shapes import check_shape

REACH = 3  # synthetic faces looked at before and after a frame
INPUT_CHANNELS = 3 * (2 * REACH + 1) + 3 + 1  # synthetic faces, surroundings, mask
WIDEST = 8  # layers are at most so many times as wide as the first
DROPOUT_LAYERS = 3  # at the decoder's start


def stack_window(pictures: PictureTensors) -> Tensor:
    """Put together what the networks see; the real lower face is not part of it.

    Args:
        pictures: with the neighbours of 3 frames before and after.

    Returns:
        (B, 25, S, S) in [-1, 1]: seven synthetic faces in order of time, the masked
        surroundings, the mask.

    Raises:
        ShapeError: another number of neighbours.
    """
    near = pictures.neighbours
    if near is None:
        raise ShapeError("pix2pix looks at neighbours, and none are given")
    check_shape("neighbours", near, f"B {2 * REACH + 1} 3 S S")
    around = pictures.real * (1 - pictures.mask)
    return torch.cat([near.flatten(1, 2), around, pictures.mask], dim=1) * 2 - 1


def count_halvings(size: int) -> int:
    """How often a side can be halved: to one pixel where it is a power of two.

    Args:
        size: side of the crops in pixels.

    Returns:
        The number of encoder layers.

    Raises:
        ShapeError: the side halves less than four times.

    >>> [count_halvings(size) for size in (128, 192, 256, 384)]
    [7, 6, 8, 7]
    """
    halvings = (size & -size).bit_length() - 1
    if halvings < 4:
        raise ShapeError(
            f"the crop is {size}x{size} pixels", "choose a crop size that is a multiple of 16"
        )
    return halvings


class Pix2PixGenerator(nn.Module):
    """An encoder and a decoder with concatenated skips, 54 M parameters at 256 pixels.

    Source: Isola et al. 2017, section 6.1.1; the window of seven frames: Kim et al. 2018 and
    Wen et al. 2020. Departs: instance norm, which is what batch norm is at the published batch
    size of one, in training as in rendering; no dropout while rendering, where it would flicker;
    the masked surroundings are an input, as the lower face alone is generated.
    """

    temporal_reach = REACH

    def __init__(self, halvings: int = 8, width: int = 64) -> None:
        super().__init__()
        widths = [width * min(1 << level, WIDEST) for level in range(halvings)]
        self.down = nn.ModuleList(
            _convolution(nn.Conv2d, a, b, norm=0 < level < halvings - 1)
            for level, (a, b) in enumerate(zip([INPUT_CHANNELS, *widths], widths, strict=False))
        )
        outward = [3, *widths[:-1]]
        self.up = nn.ModuleList(
            _convolution(
                nn.ConvTranspose2d,
                widths[level] * (1 if level == halvings - 1 else 2),
                outward[level],
                norm=level > 0,
            )
            for level in reversed(range(halvings))
        )
        wide = sum(w == widths[-1] for w in outward)
        self.dropouts = min(DROPOUT_LAYERS, wide)
        start_weights(self)

    def forward(self, inputs: Tensor) -> Tensor:
        """Render.

        Args:
            inputs: (B, 25, S, S) in [-1, 1] from `stack_window`.

        Returns:
            (B, 3, S, S) RGB in [-1, 1].

        Raises:
            ShapeError: other channels, or a side that cannot be halved as often as there are
                layers.
        """
        sizes = check_shape("inputs", inputs, f"B {INPUT_CHANNELS} S S")
        if sizes["S"] % (1 << len(self.down)):
            raise ShapeError(
                f"the crop is {sizes['S']}x{sizes['S']} pixels",
                f"choose a crop size that is a multiple of {1 << len(self.down)}",
            )
        features, skips = inputs.to(next(self.parameters()).dtype), []
        for level, layer in enumerate(self.down):
            features = layer(functional.leaky_relu(features, 0.2) if level else features)
            skips.append(features)
        for place, layer in enumerate(self.up):
            joined = torch.cat([features, skips[-1 - place]], dim=1) if place else features
            features = layer(functional.relu(joined))
            if place < self.dropouts:
                features = functional.dropout(features, 0.5, self.training)
        return torch.tanh(features.float())

    def draw(self, pictures: PictureTensors) -> Drawn:
        """Render whole crops from pictures with neighbours."""
        made: Tensor = self(stack_window(pictures).contiguous(memory_format=torch.channels_last))
        return Drawn((made + 1) / 2)


class Pix2PixDiscriminator(nn.Module):
    """A conditional PatchGAN that judges overlapping patches of 70 pixels.

    Source: Isola et al. 2017, section 6.1.2. Departs: instance norm, see `Pix2PixGenerator`.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            (
                _convolution(nn.Conv2d, 3 + INPUT_CHANNELS, width, norm=False),
                _convolution(nn.Conv2d, width, 2 * width),
                _convolution(nn.Conv2d, 2 * width, 4 * width),
                _convolution(nn.Conv2d, 4 * width, 8 * width, stride=1),
                _convolution(nn.Conv2d, 8 * width, 1, norm=False, stride=1),
            )
        )
        start_weights(self)

    def forward(self, picture: Tensor, condition: Tensor) -> Tensor:
        """Judge.

        Args:
            picture: (B, 3, S, S) RGB in [-1, 1], footage or generated.
            condition: (B, 25, S, S) what the generator saw.

        Returns:
            (B, 1, S/8 - 2, S/8 - 2) logits, above zero for footage.
        """
        features = self.layers[0](torch.cat([picture, condition], dim=1))
        for layer in self.layers[1:]:
            features = layer(functional.leaky_relu(features, 0.2))
        judged: Tensor = features.float()
        return judged


def _convolution(
    kind: type[nn.Conv2d] | type[nn.ConvTranspose2d],
    width_in: int,
    width_out: int,
    norm: bool = True,
    stride: int = 2,
) -> nn.Sequential:
    """A bias before a norm would have no effect, so there is none."""
    layer = kind(width_in, width_out, 4, stride=stride, padding=1, bias=not norm)
    return nn.Sequential(layer, *([nn.InstanceNorm2d(width_out, affine=True)] if norm else []))


def start_weights(network: nn.Module) -> None:
    """Draw a network's weights as the paper does.

    Source: Isola et al. 2017, section 6.2: a Gaussian of mean 0 and deviation 0.02; the gains of
    norms, as in the authors' code, of mean 1.
    """
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(part.weight, 0.0, 0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.InstanceNorm2d):
            nn.init.normal_(part.weight, 1.0, 0.02)
            nn.init.zeros_(part.bias)


def build_pix2pix(state: Mapping[str, Tensor]) -> Pix2PixGenerator:
    """Rebuild a trained generator; its depth and width are those of its weights.

    Args:
        state: its weights.

    Returns:
        The generator on the CPU, in float32.
    """
    levels = {found[1] for name in state if (found := re.match(r"down\.(\d+)\.", name))}
    generator = Pix2PixGenerator(len(levels), len(state["down.0.0.weight"]))
    generator.load_state_dict(dict(state))
    return generator
