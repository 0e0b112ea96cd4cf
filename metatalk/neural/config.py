"""Settings of the neural renderer: its size, its losses and what it may spend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metatalk.errors import ConfigError

GRID_PX = 16  # the generator halves the picture four times


@dataclass(frozen=True)
class NeuralConfig:
    """Training ends at `minutes` of wall clock, `steps` or `passes`, whichever comes first."""

    network: Literal["carried", "pix2pix"] = "carried"  # pix2pix: the papers' own, for reference
    minutes: float = 4.0  # wall clock, all runs of a resumed training together
    steps: int = 6000
    passes: int = 0  # most times that each frame is drawn, on average; 0: as often as there is time
    patience: float = 0.0  # share of the budget without a better score that ends it; 0: off
    batch: int = 4  # windows a step
    window_px: int = 128  # side of the training windows cut from the crops; multiple of 16
    widths: tuple[int, ...] = (32, 64, 128, 192)  # channels at 1/2, 1/4, 1/8 and 1/16 scale
    discriminator_width: int = 32
    pix2pix_width: int = 64  # channels of the pix2pix networks' first layers; theirs is 64
    learning_rate: float = 1e-3
    discriminator_rate: float = 1e-3
    adversarial_start: float = 0.4  # share of the budget after which the discriminator joins
    carried: bool = True  # look at texture carried from other frames; false for comparison
    geometry: bool = True  # look at the synthetic face's normals; false for comparison
    samples: int = 600  # pairs of frames that texture is carried to, before the training
    jitter: float = 0.5  # share of them with an expression that is a little off, as driven ones are
    hidden: tuple[float, float] = (0.15, 0.05)  # how often filmed and matched texture is withheld
    l1_weight: float = 10.0  # of the coarse picture
    pyramid_weight: float = 10.0
    fine_weight: float = 3.0  # L1 and bands of the finished picture
    texture_weight: float = 1.0  # how much detail there is, wherever it lies
    change_weight: float = 5.0  # L1 of the change from a frame to the next
    adversarial_weight: float = 0.3
    matching_weight: float = 3.0
    surroundings_weight: float = 0.3  # of the L1 outside the mask; keeps the mask's edge seamless
    attention: float = 0.7  # 0: every pixel's error counts alike; 1: by how much the pixel changes
    colour_jitter: float = 0.05  # gain range, applied to footage and synthetic face alike
    mask_growth_px: int = 4  # most that a training mask is widened by
    ema_decay: float = 0.995
    held_out: float = 0.1  # share of the frames, at the end, that only score
    held_out_gap: int = 10  # frames left unused before them
    checkpoint_seconds: float = 20.0  # longer where a state takes long to write; 0: every step

    def __post_init__(self) -> None:
        positive = (
            "minutes", "steps", "batch", "learning_rate", "discriminator_rate",
            "discriminator_width", "pix2pix_width", "samples",
        )  # fmt: skip
        for name in positive:
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f"neural.{name} is {getattr(self, name)}", "give a number above zero"
                )
        if self.window_px < GRID_PX or self.window_px % GRID_PX:
            raise ConfigError(
                f"neural.window_px is {self.window_px}", f"give a multiple of {GRID_PX}"
            )
        if len(self.widths) != 4 or min(self.widths) < 1:
            raise ConfigError(f"neural.widths is {self.widths}", "give four channel counts")
        least_zero = (
            "l1_weight", "pyramid_weight", "adversarial_weight", "matching_weight",
            "surroundings_weight", "mask_growth_px", "held_out_gap", "checkpoint_seconds",
            "passes", "fine_weight", "texture_weight", "change_weight",
        )  # fmt: skip
        for name in least_zero:
            if not getattr(self, name) >= 0:
                raise ConfigError(f"neural.{name} is {getattr(self, name)}", "give 0 or more")
        if not 0 <= self.colour_jitter < 1:
            raise ConfigError(
                f"neural.colour_jitter is {self.colour_jitter}", "give 0 to below 1, such as 0.05"
            )
        for name in (
            "adversarial_start", "attention", "held_out", "ema_decay", "patience", "jitter",
        ):  # fmt: skip
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"neural.{name} is {getattr(self, name)}", "give 0 to 1")
        if len(self.hidden) != 2 or not all(0 <= share < 1 for share in self.hidden):
            raise ConfigError(
                f"neural.hidden is {self.hidden}", "give two shares from 0 to below 1"
            )
        if self.held_out > 0.5:
            raise ConfigError(f"neural.held_out is {self.held_out}", "give at most 0.5")
