"""What can be set about synthetic pictures and crops."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from metatalk.errors import ConfigError

SIZE_STEP = 16  # the generator halves a crop four times
# Shrunk by more than this, a face loses definition that is missed. As sides grow by half at
# most, none but faces smaller than the smallest side is then enlarged by more than a third.
LEAST_SCALE = 8 / 9
MOST_SCALE = 4 / 3


@dataclass(frozen=True)
class RenderConfig:
    """Crops of the lower face and the synthetic pictures that fill them."""

    sizes: tuple[int, ...] = (128, 192, 256, 384, 512, 768)  # px, sides a crop may have
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

    def choose_size(self, face_px: float) -> int:
        """Choose the crop's side that keeps the footage's definition at the least cost.

        Args:
            face_px: frame pixels that the crop's side spans.

        Returns:
            The smallest allowed side, px, that does not shrink the footage by more than a ninth,
            else the largest.

        >>> [RenderConfig(max_size=768).choose_size(face_px) for face_px in (140, 160, 310, 900)]
        [128, 192, 384, 768]
        """
        enough = [size for size in self.allowed_sizes if size >= face_px * LEAST_SCALE]
        return min(enough, default=self.allowed_sizes[-1])

    def explain_size(self, face_px: float) -> str:
        """Say what the chosen side does to the footage's definition, where it does something.

        Args:
            face_px: frame pixels that the crop's side spans.

        Returns:
            A sentence for the log; empty where the crop is about as large as the footage.

        >>> RenderConfig().explain_size(250)
        ''
        """
        size = self.choose_size(face_px)
        spans = f"the crop spans {face_px:.0f} px of the footage and is drawn at {size}"
        if size < face_px * LEAST_SCALE:
            larger = replace(self, max_size=max(self.sizes))
            if larger.choose_size(face_px) == size:
                return f"{spans}, the largest of render.sizes: finer skin is lost"
            return (
                f"{spans}: finer skin is lost; for more of it set render.max_size="
                f"{larger.choose_size(face_px)}, or take a larger --preset, and train longer"
            )
        if size > face_px * MOST_SCALE:
            return f"{spans}: it is enlarged, and can be no sharper than the footage"
        return ""

    @property
    def allowed_sizes(self) -> tuple[int, ...]:
        """The sides up to `max_size`, smallest first, in pixels."""
        return tuple(sorted(size for size in self.sizes if size <= self.max_size))
