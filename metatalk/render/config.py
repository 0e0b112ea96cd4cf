"""What can be set about synthetic pictures and crops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metatalk.errors import ConfigError

SIZE_STEP = 16  # the generator halves a crop four times


@dataclass(frozen=True)
class RenderConfig:
    """Crops of the lower face and the synthetic pictures that fill them."""

    sizes: tuple[int, ...] = (128, 192, 256, 384, 512)  # px, sides a crop may have
    max_size: int = 256  # px; bigger crops cost time in proportion to their area
    margin: float = 0.08  # beyond the outermost anchor, as a share of the crop's half side
    steady_frames: float = 4.0  # standard deviation of the crops' smoothing over time
    grow_px: int = 4  # how far the mask reaches beyond the lower face, at a side of 256 px
    max_frames: int | None = None  # render at most this many, spread evenly; None = all
    # the rasteriser; auto: PyTorch3D's where it is installed and there is a CUDA device, else ours
    backend: Literal["auto", "numba", "pytorch3d"] = "auto"

    def __post_init__(self) -> None:
        if not self.allowed_sizes:
            raise ConfigError(
                f"render.sizes {self.sizes} holds none up to render.max_size {self.max_size}",
                "raise render.max_size or add a smaller size",
            )
        if any(size < SIZE_STEP or size % SIZE_STEP for size in self.sizes):
            raise ConfigError(
                f"render.sizes {self.sizes} holds a side that is no multiple of {SIZE_STEP} px",
                "use sides such as 128, 256 or 512",
            )
        for name in ("margin", "steady_frames", "grow_px"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"render.{name} is {getattr(self, name)}", "give 0 or more")
        if self.max_frames is not None and self.max_frames < 1:
            raise ConfigError(
                f"render.max_frames is {self.max_frames}", "use a number from 1, or null for all"
            )

    @property
    def allowed_sizes(self) -> tuple[int, ...]:
        """The sides up to `max_size`, smallest first, in pixels."""
        return tuple(sorted(size for size in self.sizes if size <= self.max_size))
