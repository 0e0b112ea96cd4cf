"""Make docs/demo.png from what `make demo` left: footage, synthetic lower face, result."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np

from metatalk.config import load_config
from metatalk.media.video import read_pictures
from metatalk.presenter.files import presenter_files
from metatalk.stages.drive_order import DriveOrder
from metatalk.stages.drive_preparation import prepare_drive

REPOSITORY = Path(__file__).resolve().parents[1]
COLUMNS, CELL_PX = 5, 240
BOX = (150, 190, 470, 510)  # the presenter's face


def main() -> None:
    """Write the picture."""
    config, files = load_config(file=REPOSITORY / "out/presenter/config.json"), presenter_files()
    actor, result = REPOSITORY / "out/presenter", REPOSITORY / "out/demo.mp4"
    with tempfile.TemporaryDirectory() as scratch:
        drive = prepare_drive(DriveOrder(actor, result, files.driving), config, Path(scratch))
    rows = np.linspace(8, len(drive.plan) - 8, COLUMNS).astype(int)
    footage = pick(read_pictures(files.video), drive.plan.frames[rows])
    said = pick(read_pictures(result), rows)
    shown = drive.performance
    track = shown.filmed.take(rows).with_expression(shown.expression[rows])
    synthetic = drive.studio.scene.synthetic(track, shown.transforms[rows])
    sheet = np.vstack([np.hstack([cell(p) for p in line]) for line in (footage, synthetic, said)])
    cv2.imwrite(str(REPOSITORY / "docs/demo.png"), sheet[..., ::-1])


def pick(pictures: object, numbers: np.ndarray) -> list[np.ndarray]:
    """The faces in the given frames."""
    chosen = {p.index: p.rgb(BOX) for p in pictures if p.index in set(numbers.tolist())}  # type: ignore[attr-defined]
    return [chosen[number] for number in numbers.tolist()]


def cell(picture: np.ndarray) -> np.ndarray:
    """One square of the sheet."""
    return cv2.resize(picture, (CELL_PX, CELL_PX), interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    main()
