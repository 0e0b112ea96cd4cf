"""TensorBoard's files of a training, and the contact sheet beside them."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from metatalk.stages.training_log import TrainingLog


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder / "logs"))
    events.Reload()
    return events


def curve(folder: Path, name: str) -> dict[int, float]:
    return {event.step: round(event.value, 4) for event in read(folder).Scalars(name)}


def sheet(grey: int) -> np.ndarray:
    picture = np.full((20, 30, 3), grey, np.uint8)
    picture[..., 0] = 200
    return picture


def test_curves_and_sheets_are_there_to_be_read(tmp_path: Path) -> None:
    with TrainingLog(tmp_path) as log:
        log.begin(0)
        for step in (1, 2):
            log.show_figures(step, {"train/l1": 1 / step, "held_out/psnr_db": 20.0 + step})
        log.show_sheet(2, sheet(50))
    assert curve(tmp_path, "train/l1") == {1: 1.0, 2: 0.5}
    assert curve(tmp_path, "held_out/psnr_db") == {1: 21.0, 2: 22.0}
    (shown,) = read(tmp_path).Images("contact_sheet")
    assert (shown.step, shown.width, shown.height) == (2, 30, 20)
    stored = cv2.imdecode(np.frombuffer(shown.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(stored[..., ::-1], sheet(50))


def test_the_sheet_is_the_last_one_shown(tmp_path: Path) -> None:
    with TrainingLog(tmp_path) as log:
        log.begin(0)
        for step in (1, 2):
            log.show_sheet(step, sheet(step))
    stored = cv2.imread(str(tmp_path / "contact_sheet.png"))
    np.testing.assert_array_equal(stored[..., ::-1], sheet(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["contact_sheet.png", "logs"]


def test_a_resumed_training_goes_on_where_its_state_was_saved(tmp_path: Path) -> None:
    with TrainingLog(tmp_path) as log:
        log.begin(0)
        for step in (1, 2, 3, 4):
            log.show_figures(step, {"train/l1": float(step)})
    killed = TrainingLog(tmp_path)  # and once more, so hard that nothing was closed
    killed.begin(2)
    killed.show_figures(3, {"train/l1": 70.0})
    with TrainingLog(tmp_path) as log:
        log.begin(2)
        for step in (3, 4, 5):
            log.show_figures(step, {"train/l1": 10.0 * step})
    assert curve(tmp_path, "train/l1") == {1: 1.0, 2: 2.0, 3: 30.0, 4: 40.0, 5: 50.0}


def test_the_files_do_not_name_the_machine(tmp_path: Path) -> None:
    for _ in range(2):
        with TrainingLog(tmp_path) as log:
            log.begin(0)
    names = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert names == ["events.out.tfevents.0000", "events.out.tfevents.0001"]
    assert not any(re.search(r"[a-z]{3,}", name.split("tfevents")[1]) for name in names)
