"""Seams and colour differences: told where they are, and not where they are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from metatalk.errors import ShapeError
from metatalk.evaluate.colour_difference import delta_e, rgb_to_lab
from metatalk.evaluate.seams import measure_seams

HEIGHT, WIDTH = 160, 200

# Sharma, Wu & Dalal 2005, table 1: pairs 1, 4, 7, 9, 17, 18, 19, 25
PAIRS = [
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0009), 7.1792),
    ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((50.0, 2.5, 0.0), (61.0, -5.0, 29.0), 22.8977),
    ((50.0, 2.5, 0.0), (56.0, -27.0, -3.0), 31.9030),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
]


@pytest.mark.parametrize(("first", "second", "wanted"), PAIRS)
def test_differences_are_those_of_the_published_table(first, second, wanted):
    assert delta_e(np.array(first), np.array(second)) == pytest.approx(wanted, abs=1e-4)
    assert delta_e(np.array(second), np.array(first)) == pytest.approx(wanted, abs=1e-4)


def test_white_is_white():
    lab = rgb_to_lab(np.array([[[1, 1, 1], [0, 0, 0]]], np.float32))
    np.testing.assert_allclose(lab[0], [[100, 0, 0], [0, 0, 0]], atol=0.05)


def clip(count: int = 3) -> list[np.ndarray]:
    """Skin-like pictures: uneven, with an edge across them."""
    out = []
    for seed in range(count):
        noise = np.random.default_rng(seed).normal(size=(HEIGHT, WIDTH, 3)).astype(np.float32)
        uneven = sum(cv2.GaussianBlur(noise, (0, 0), s) * s for s in (1.0, 4.0, 20.0))
        picture = 0.5 + 0.02 * uneven / uneven.std()
        picture[:, 150:] -= 0.3
        out.append(np.float32(picture))
    return out


def mask(soft_px: float = 0.0) -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    away = 55 - np.hypot((columns - 105) / 1.2, rows - 85)
    return np.clip(away / max(soft_px, 1e-3), 0, 1).astype(np.float32)


def lay(change: float | np.ndarray, alpha: np.ndarray) -> list[np.ndarray]:
    return [np.float32(picture + change * alpha[..., None]) for picture in clip()]


def test_the_footage_itself_has_no_seam():
    found = measure_seams(clip(), clip(), [mask()] * 3)
    assert found.jump_ratio == pytest.approx(1, abs=1e-6)
    assert found.step == found.delta_e == 0
    assert found.definition_ratio == pytest.approx(1)
    assert found.frames == 3


def test_a_step_in_brightness_is_told():
    steps = [measure_seams(clip(), lay(step, mask()), [mask()] * 3) for step in (0.01, 0.02, 0.04)]
    jumps = [found.jump_ratio for found in steps]
    assert jumps == sorted(jumps)
    assert jumps[1] > 1.3
    for found, wanted in zip(steps, (0.01, 0.02, 0.04), strict=True):
        assert found.step == pytest.approx(wanted, rel=0.25)
    assert 1 < steps[1].delta_e < 3


def test_a_soft_edge_hides_the_line_and_not_the_colour():
    hard = measure_seams(clip(), lay(0.02, mask()), [mask()] * 3)
    soft = measure_seams(clip(), lay(0.02, mask(20.0)), [mask(20.0)] * 3)
    assert soft.jump_ratio < 1 + 0.3 * (hard.jump_ratio - 1)
    assert soft.delta_e > 0.2


def test_bytes_are_the_same_as_floats():
    to_bytes = lambda frames: [np.rint(255 * p).astype(np.uint8) for p in frames]  # noqa: E731
    floats = measure_seams(clip(), lay(0.02, mask()), [mask()] * 3)
    eight = measure_seams(to_bytes(clip()), to_bytes(lay(0.02, mask())), [mask()] * 3)
    assert eight.step == pytest.approx(floats.step, rel=0.05)
    assert eight.jump_ratio == pytest.approx(floats.jump_ratio, rel=0.1)


def test_a_blurred_rim_has_less_definition():
    blurred = [cv2.GaussianBlur(picture, (0, 0), 1.5) for picture in clip()]
    found = measure_seams(clip(), blurred, [mask()] * 3)
    assert found.definition_ratio < 0.7


def test_frames_without_a_mask_do_not_count():
    nothing = np.zeros((HEIGHT, WIDTH), np.float32)
    assert measure_seams(clip(1), clip(1), [nothing]).frames == 0
    both = measure_seams(clip(2), clip(2), [nothing, mask()])
    assert both.frames == 1
    with pytest.raises(ShapeError):
        measure_seams(clip(1), clip(1), [mask()[:-1]])
