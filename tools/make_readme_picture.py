"""Make docs/demo.png from what `make demo` left: footage, synthetic lower face, result."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from metatalk.config import load_config
from metatalk.media.video import read_pictures
from metatalk.presenter.files import presenter_files
from metatalk.stages.drive import prepare_drive

REPOSITORY = Path(__file__).resolve().parents[1]
COLUMNS, CELL_PX = 5, 240
BOX = (150, 190, 470, 510)  # the presenter's face


def main() -> None:
    """Write the picture."""
    config, files = load_config(file=REPOSITORY / "out/presenter/config.json"), presenter_files()
    drive = prepare_drive(REPOSITORY / "out/presenter", files.driving, None, config)
    rows = np.linspace(8, len(drive.plan) - 8, COLUMNS).astype(int)
    footage = pick(read_pictures(files.video), drive.plan.frames[rows])
    result = pick(read_pictures(REPOSITORY / "out/demo.mp4"), rows)
    track = drive.studio.track.take(drive.plan.frames[rows])
    track = track.with_expression(drive.performance.expression[rows])
    shown = drive.studio.transforms[drive.plan.frames[rows]]
    synthetic = drive.studio.scene.synthetic(track, shown)
    sheet = np.vstack([np.hstack([cell(p) for p in line]) for line in (footage, synthetic, result)])
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
