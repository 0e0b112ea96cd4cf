"""The generator: synthetic face, surroundings and carried texture in, photographic face out.

What is coarse is learned; what is fine (pores, stubble, the edges of teeth) is passed through
from the footage, with weights that are learned, too. A network that is to draw stubble itself
draws the mean of all stubble, which is smooth skin.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from metatalk.errors import ShapeError
from metatalk.neural.config import GRID_PX, NeuralConfig
from metatalk.neural.pictures import Drawn, PictureTensors, Stackable
from metatalk.shapes import check_shape

ModuleKind = TypeVar("ModuleKind", bound=nn.Module)
CANVAS_PX = 128  # texels a side
CANVAS_CHANNELS = 8
SOURCES = 2  # filmed and matched texture, each RGB and trust
MASK_CHANNEL = 6  # after synthetic RGB and surroundings RGB
FIRST_SOURCE = 10  # channels before them: synthetic RGB, surroundings RGB, mask, geometry
INPUT_CHANNELS = FIRST_SOURCE + 4 * SOURCES
BAND_PX = 2  # half width of the boxes that part fine from coarse
KNOWN = 0.02  # trust from which a pixel takes part in the coarse band
LEAST_MASS = 1e-3  # keeps the mean of no pixels finite
STEEPEST = 8.0  # of the gates' logarithms; keeps their exponentials finite in every format


def stack_inputs(
    synthetic: Tensor,
    real: Tensor,
    mask: Tensor,
    geometry: Tensor,
    filmed: Tensor,
    matched: Tensor,
) -> Tensor:
    """Put together what the generator sees; the real lower face is not part of it.

    Args:
        synthetic: (B, 3, H, W) shaded synthetic lower face, RGB in [0, 1], black elsewhere.
        real: (B, 3, H, W) footage, RGB in [0, 1]; used outside the mask only.
        mask: (B, 1, H, W) 1 where the lower face is to be generated, else 0.
        geometry: (B, 3, H, W) its normals, -1..1 as 0..1.
        filmed: (B, 4, H, W) texture carried from a frame in the same pose: RGB and trust.
        matched: (B, 4, H, W) texture carried from a frame with the same mouth.

    Returns:
        (B, 18, H, W): synthetic RGB, surroundings RGB, mask, normals, filmed, matched.
    """
    sizes = check_shape("synthetic", synthetic, "B 3 H W")
    check_shape("real", real, "B 3 H W", **sizes)
    check_shape("mask", mask, "B 1 H W", **sizes)
    check_shape("geometry", geometry, "B 3 H W", **sizes)
    check_shape("filmed", filmed, "B 4 H W", **sizes)
    check_shape("matched", matched, "B 4 H W", **sizes)
    return torch.cat([synthetic, real * (1 - mask), mask, geometry, filmed, matched], dim=1)


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
    """A compact U-Net that works at half resolution and below, and lets real texture through.

    Four halvings, smooth enlargement, one pixel shuffle to the full size, and no normalisation,
    so that a window of a picture is rendered as the whole picture is. The coarse picture is a
    weighted mean of the carried textures' coarse bands and what the network adds; the fine band
    is exchanged for the carried textures', with weights of its own.

    Source: Isola et al. 2017, section 3.2. Departs: addition in place of concatenation, a learned
    canvas, no dropout, no normalisation; 1.5 M parameters in place of 54 M. Texture from other
    frames: Suwajanakorn et al. 2017, section 3.3 (Synthesizing Obama). Departs: two frames in
    place of a median of many, weights by a network in place of masks.
    """

    temporal_reach = 0

    def __init__(
        self,
        widths: tuple[int, ...] = (32, 64, 128, 192),
        sees_carried: bool = True,
        sees_geometry: bool = True,
    ) -> None:
        super().__init__()
        self.sees_carried, self.sees_geometry = sees_carried, sees_geometry
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
        self.gates = nn.Conv2d(half, 2 * (SOURCES + 1), 3, padding=1)
        for layer in (self.stem, *self.down, *self.refine, self.head, self.gates):
            keep_variance(layer)
        scale_weights(self.head, 0.1)
        align_subpixels(self.head)
        scale_weights(self.gates, 0.1)
        start = torch.tensor([2.0, 1.0, 0.0, 5.0, 3.0, 0.0])  # coarse: filmed, matched, own; fine
        self.gates.bias = nn.Parameter(start)

    def forward(
        self, inputs: Tensor, places: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Render.

        Args:
            inputs: (B, 18, H, W) from `stack_inputs`; H and W multiples of 16.
            places: (B, 4) left, top, right, bottom of windows, as shares of the crop; None where
                the inputs are whole crops.

        Returns:
            The picture, (B, 3, H, W) float32 RGB, about [0, 1]; the same before fine texture was
            passed through; and the weights, (B, 2, H, W), of the fine band of filmed and matched
            texture. In the mask the picture is the new lower face, elsewhere it is close to the
            surroundings.

        Raises:
            ShapeError: other channels, or a side that is not a multiple of 16.
        """
        sizes = check_shape("inputs", inputs, f"B {INPUT_CHANNELS} H W")
        check_sides(sizes["H"], sizes["W"])
        canvas = self.canvas(sizes["H"] // 2, sizes["W"] // 2, places)
        head, gates = self.propose((inputs - 0.5).to(self.stem.weight.dtype), canvas)
        added = functional.pixel_shuffle(head, 2).float()
        gates = functional.interpolate(
            gates.float(), scale_factor=2, mode="bilinear", align_corners=False
        )
        with torch.autocast(inputs.device.type, enabled=False):  # half formats draw steps in skin
            return _let_through(inputs[:, FIRST_SOURCE:].float(), added, gates)

    def propose(self, centred: Tensor, canvas: Tensor) -> tuple[Tensor, Tensor]:
        """Run the layers: all that is learned, before texture is let through.

        Args:
            centred: (B, 18, H, W) from `stack_inputs`, less a half, in the layers' own format.
            canvas: (B or 1, C, H / 2, W / 2) from `Canvas`.

        Returns:
            What the network adds, (B, 12, H / 2, W / 2), to be shuffled to (B, 3, H, W), and
            logarithms of weights, (B, 6, H / 2, W / 2), to be enlarged.
        """
        half = functional.leaky_relu(self.stem(centred) + canvas, 0.2)
        quarter = self._descend(0, half)
        eighth = self._descend(1, quarter)
        deep = self.middle(functional.leaky_relu(self.down[2](eighth), 0.2))
        features = self.up[0](deep, eighth)
        features = self.up[2](self.up[1](features, quarter), half)
        return self.head(features), self.gates(features)

    def draw(self, pictures: PictureTensors) -> Drawn:
        """Render whole crops; what is not given, or not to be seen, is black and not trusted."""
        made, _, passed = self(self.gather(pictures))
        return Drawn(made.clamp(0, 1), passed[:, :1])

    def gather(self, pictures: Stackable) -> Tensor:
        """Stack what this generator looks at, see `stack_inputs`; the rest is black.

        Texture is looked at in the mask alone: around it the footage itself is seen.
        """
        black = torch.zeros_like(pictures.synthetic)
        unknown = torch.cat([black, black[:, :1]], 1)
        geometry = pictures.geometry if self.sees_geometry else None
        filmed = pictures.filmed if self.sees_carried else None
        matched = pictures.matched if self.sees_carried else None
        return stack_inputs(
            pictures.synthetic,
            pictures.real,
            pictures.mask,
            black if geometry is None else geometry,
            unknown if filmed is None else filmed * pictures.mask,
            unknown if matched is None else matched * pictures.mask,
        ).contiguous(memory_format=torch.channels_last)

    def _descend(self, level: int, features: Tensor) -> Tensor:
        smaller = functional.leaky_relu(self.down[level](features), 0.2)
        return functional.leaky_relu(smaller + self.refine[level](smaller), 0.2)


def check_sides(height: int, width: int) -> None:
    """Check that pictures can be halved as often as the generator does.

    Raises:
        ShapeError: a side is not a multiple of 16.
    """
    if height % GRID_PX or width % GRID_PX:
        raise ShapeError(
            f"the crop is {width}x{height} pixels",
            f"choose a crop size that is a multiple of {GRID_PX}",
        )


def _let_through(sources: Tensor, added: Tensor, gates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compose the carried textures and what the network adds.

    Args:
        sources: (B, 4 * SOURCES, H, W) RGB and trust of each.
        added: (B, 3, H, W).
        gates: (B, 2 * (SOURCES + 1), H, W) logarithms of weights: coarse, then fine.
    """
    textures = sources.unflatten(1, (SOURCES, 4))
    pixels, trust = textures[:, :, :3].flatten(1, 2), textures[:, :, 3]
    known = (trust > KNOWN).float()
    masses = blur_box(known, BAND_PX) + LEAST_MASS
    coarse_pixels = blur_box(pixels * known.repeat_interleave(3, 1), BAND_PX)
    coarse_pixels = coarse_pixels / masses.repeat_interleave(3, 1)
    fine_pixels = pixels - coarse_pixels
    coarse_gates, fine_gates = gates.chunk(2, dim=1)
    shares, passed = _weigh(coarse_gates, trust), _weigh(fine_gates, trust)
    coarse = added + 0.5 * shares[:, SOURCES:]
    for n in range(SOURCES):
        coarse = coarse + shares[:, n : n + 1] * coarse_pixels[:, 3 * n : 3 * n + 3]
    # What stands in for the fine band is weighed by the same shares as what it takes away.
    own_fine = coarse - blur_box(coarse, BAND_PX)
    picture = coarse - (1 - passed[:, SOURCES:]) * own_fine
    for n in range(SOURCES):
        picture = picture + passed[:, n : n + 1] * fine_pixels[:, 3 * n : 3 * n + 3]
    return picture, coarse, passed[:, :SOURCES]


def _weigh(gates: Tensor, trust: Tensor) -> Tensor:
    """(B, SOURCES + 1, H, W) weights that add up to 1, none where there is no trust."""
    ones = torch.ones_like(trust[:, :1])
    weights = torch.cat([trust, ones], 1) * gates.clamp(-STEEPEST, STEEPEST).exp()
    return weights / weights.sum(1, keepdim=True)


def blur_box(pictures: Tensor, radius: int) -> Tensor:
    """Blur with a box, twice: nearly a Gaussian, and cheap.

    Args:
        pictures: (B, C, H, W).
        radius: of the box, px; its standard deviation is that of a Gaussian of about
            0.8 * radius + 0.4 px.

    Returns:
        (B, C, H, W); edges repeat.
    """
    side, channels = 2 * radius + 1, pictures.shape[1]
    tent = 1 - (torch.arange(-2 * radius, 2 * radius + 1, device=pictures.device).abs() / side)
    kernel = (tent / side).to(pictures.dtype).expand(channels, 1, 1, -1).contiguous()
    # Convolutions with one channel each are faster with channels apart than with them last.
    padded = functional.pad(pictures.contiguous(), (2 * radius,) * 4, mode="replicate")
    across = functional.conv2d(padded, kernel, groups=channels)
    return functional.conv2d(across, kernel.transpose(2, 3), groups=channels)


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
    generator = Generator(tuple(config.widths), config.carried, config.geometry)
    if state is not None:
        generator.load_state_dict(dict(state))
    return order_channels_last(generator)


def order_channels_last(module: ModuleKind) -> ModuleKind:
    """Lay a network's weights out the way convolutions are fastest; changes it in place."""
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module
