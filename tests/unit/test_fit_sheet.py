"""Sheets of curves and of frames."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from test_doubts import CLEAN, FRAMES

from metatalk.errors import ShapeError
from metatalk.evaluate.fit_sheet import (
    CAPTION_PX,
    GAP_PX,
    PAPER,
    draw_sheet,
    lay_out_frames,
    list_panels,
)

NOTHING = np.zeros(FRAMES, bool)


@pytest.fixture(scope="module")
def plain() -> np.ndarray:
    return draw_sheet(CLEAN, NOTHING, "toy")


def test_a_doubt_shades_its_own_time_in_every_panel(plain: np.ndarray) -> None:
    doubtful = NOTHING.copy()
    doubtful[50:60] = True
    shaded = draw_sheet(CLEAN, doubtful, "toy")
    assert shaded.shape == plain.shape
    rows, columns = np.nonzero((shaded != plain).any(-1))
    width = plain.shape[1]
    assert 0.07 * width < np.ptp(columns) < 0.13 * width  # ten of a hundred frames
    assert 0.45 * width < columns.mean() < 0.62 * width
    panels = len(list_panels(CLEAN))
    assert len(np.unique(rows * panels // plain.shape[0])) == panels


def test_cuts_are_marked(plain: np.ndarray) -> None:
    cut = replace(CLEAN, shots=np.array([[0, 50], [50, FRAMES]]))
    changed = (draw_sheet(cut, NOTHING, "toy") != plain).any(-1)
    assert 0 < np.ptp(np.nonzero(changed)[1]) < 6


def test_drawing_changes_no_setting_of_the_process() -> None:
    import matplotlib

    before, environment = dict(matplotlib.rcParams), dict(os.environ)
    draw_sheet(CLEAN, NOTHING, "toy")
    assert dict(matplotlib.rcParams) == before
    assert dict(os.environ) == environment


def test_frames_without_a_face_leave_gaps_and_no_warnings() -> None:
    nan = np.where(np.arange(FRAMES) < 30, np.nan, 1.0)
    gappy = replace(CLEAN, lip_gap_mm=CLEAN.lip_gap_mm * nan, error_mm=CLEAN.error_mm * nan)
    assert draw_sheet(gappy, np.isnan(nan), "toy").std() > 0


def test_a_curve_that_never_changes_has_no_correlation() -> None:
    flat = replace(CLEAN, lip_gap_mm=np.zeros(FRAMES))
    assert list_panels(flat)[0].curves[1][1] == "fit"
    assert (
        "r = 0.9" in list_panels(CLEAN)[0].curves[1][1]
        or "r = 1" in (list_panels(CLEAN)[0].curves[1][1])
    )


def test_the_mask_must_have_a_frame_for_each() -> None:
    with pytest.raises(ShapeError):
        draw_sheet(CLEAN, np.zeros(3, bool), "toy")


def test_frames_lie_in_rows_with_their_captions_below() -> None:
    pictures = [np.full((40, 60, 3), value, np.uint8) for value in (50, 100, 150)]
    sheet = lay_out_frames(pictures, [["one"], ["two", "second line"], []], columns=2)
    assert sheet.shape == (2 * (40 + CAPTION_PX + GAP_PX) + GAP_PX, 2 * (60 + GAP_PX) + GAP_PX, 3)
    for number, value in enumerate((50, 100, 150)):
        top = GAP_PX + number // 2 * (40 + CAPTION_PX + GAP_PX)
        left = GAP_PX + number % 2 * (60 + GAP_PX)
        assert (sheet[top : top + 40, left : left + 60] == value).all()
        caption = sheet[top + 40 : top + 40 + CAPTION_PX, left : left + 60]
        assert (caption != PAPER).any() == (number < 2)


def test_no_frames_make_an_empty_sheet() -> None:
    assert (lay_out_frames([], [], columns=4) == PAPER).all()
