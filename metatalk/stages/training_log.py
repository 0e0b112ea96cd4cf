"""What a training shows while it runs: TensorBoard's curves and pictures, and a contact sheet."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import cv2
import numpy as np

from metatalk.stages.artefacts import write_bytes

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FLUSH_SECONDS = 10


class TrainingLog(AbstractContextManager["TrainingLog"]):
    """Writes `contact_sheet.png` and, under `logs/`, what `tensorboard --logdir` reads.

    Args:
        folder: the stage's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def begin(self, step: int, /) -> None:
        """Go on at a step; what a killed run wrote of later ones is hidden by TensorBoard."""
        from torch.utils.tensorboard import SummaryWriter  # slow to load

        self._writer = SummaryWriter(
            str(self._folder / "logs"), purge_step=step + 1, flush_secs=FLUSH_SECONDS
        )

    def show_figures(self, step: int, figures: Mapping[str, float], /) -> None:
        """Write scalars."""
        if self._writer:
            for name, value in figures.items():
                self._writer.add_scalar(name, value, step)

    def show_sheet(self, step: int, sheet: np.ndarray, /) -> None:
        """Write a contact sheet, (H, W, 3) uint8 RGB; a reader never sees half of one."""
        partial = self._folder / "contact_sheet.partial.png"
        _, encoded = cv2.imencode(".png", sheet[..., ::-1])  # imwrite hides a full disk
        write_bytes(partial, encoded.tobytes())
        partial.replace(self._folder / "contact_sheet.png")
        if self._writer:
            self._writer.add_image("contact_sheet", sheet, step, dataformats="HWC")
            self._writer.flush()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._writer:
            self._writer.close()
        _number(self._folder / "logs")


def _number(logs: Path) -> None:
    """Name TensorBoard's files by their order: it names them after the machine and the process."""
    named = sorted(logs.glob("events.out.tfevents.*"), key=_age)
    for place, file in enumerate(named):
        file.replace(logs / f"events.out.tfevents.{place:04d}")


def _age(file: Path) -> tuple[int, str]:
    """Its place among those of a training; TensorBoard's own names begin with the time."""
    return int(file.name.split(".")[3]), file.name
