"""Flicker of static skin: told where it is, and not where it is not."""

from __future__ import annotations

from itertools import islice

import cv2
import numpy as np
import pytest

from metatalk.errors import ShapeError
from metatalk.evaluate.flicker import FlickerMeter, measure_flicker
from metatalk.evaluate.seams import measure_seams
from metatalk.media.video import read_pictures

SIZE = 160
FRAMES = 8


def clip(noise: float = 0.004, seed: int = 0, drift_px: float = 1.0) -> list[np.ndarray]:
    """Skin that drifts before a camera with a little noise."""
    texture = np.random.default_rng(9).normal(size=(SIZE, SIZE, 3)).astype(np.float32)
    texture = sum(cv2.GaussianBlur(texture, (0, 0), s) * s for s in (1.5, 6.0, 25.0))
    texture = np.float32(0.5 + 0.06 * texture / texture.std())
    chance, out = np.random.default_rng(seed), []
    for number in range(FRAMES):
        move = np.float32([[1, 0, drift_px * number], [0, 1, 0.4 * drift_px * number]])
        frame = cv2.warpAffine(texture, move, (SIZE, SIZE), flags=cv2.INTER_CUBIC,
                               borderMode=cv2.BORDER_REFLECT)  # fmt: skip
        out.append(frame + chance.normal(scale=noise, size=frame.shape).astype(np.float32))
    return out


def mask() -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return (np.hypot(columns - 80, rows - 80) < 60).astype(np.float32)


MASKS = [mask()] * FRAMES


def test_the_footage_is_as_calm_as_itself():
    found = measure_flicker(clip(), clip(), MASKS)
    assert found.flicker_ratio == found.grain_ratio == 1
    assert found.pairs == FRAMES - 1


def test_the_same_scene_filmed_twice_is_as_calm():
    found = measure_flicker(clip(seed=1), clip(seed=2), MASKS)
    assert found.flicker_ratio == pytest.approx(1, abs=0.1)
    assert found.grain_ratio == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("size", [0.01, 0.02])
def test_a_flicker_of_a_hundredth_is_told(size):
    chance = np.random.default_rng(4)
    made = [
        frame + np.float32(size * chance.normal()) * mask()[..., None] for frame in clip(seed=2)
    ]
    found = measure_flicker(clip(seed=1), made, MASKS)
    assert found.flicker_ratio > 2
    assert found.grain_ratio < 1.3
    assert found.flicker > found.source_flicker


def test_over_a_jump_nothing_is_compared():
    still, meter = clip(), FlickerMeter()
    brighter = [frame + np.float32(0.05 * (number >= 4)) for number, frame in enumerate(still)]
    for number, frame in enumerate(zip(still, brighter, MASKS, strict=True)):
        meter.add(*frame, follows=number != 4)
    assert meter.scores().pairs == FRAMES - 2
    assert meter.scores().flicker_ratio == pytest.approx(1, abs=0.05)
    assert measure_flicker(still, brighter, MASKS).flicker_ratio > 2


def test_a_steady_change_is_no_flicker():
    made = [frame + np.float32(0.03) * mask()[..., None] for frame in clip(seed=2)]
    assert measure_flicker(clip(seed=1), made, MASKS).flicker_ratio == pytest.approx(1, abs=0.15)


def test_boiling_and_frozen_grain_are_told_apart():
    boiling = measure_flicker(clip(0.004), clip(0.012, 3), MASKS)
    airbrushed = measure_flicker(clip(0.012), clip(0.0, 3), MASKS)
    assert boiling.grain_ratio > 1.8
    assert airbrushed.grain_ratio < 0.6


def test_a_mouth_that_moves_otherwise_is_no_skin_at_rest():
    source, made = clip(), clip()
    for number, frame in enumerate(made):
        lips = cv2.warpAffine(
            frame, np.float32([[1, 0, 0], [0, 1, 3 * (number % 2)]]), (SIZE, SIZE)
        )
        frame[60:100, 50:110] = lips[60:100, 50:110]
    assert measure_flicker(source, made, MASKS).flicker_ratio < 1.3


def test_a_pair_with_hardly_any_skin_hardly_counts():
    """One restless corner must not outweigh all that was calm."""
    corner = np.zeros_like(mask())
    corner[66:82, 66:82] = 1
    masks, made = [*MASKS[:-1], corner], clip(seed=2)
    made[-1] = made[-1] + np.float32(0.01)
    found = measure_flicker(clip(seed=1), made, masks)
    assert found.pairs == FRAMES - 1
    assert found.flicker_ratio < 1.5


def test_without_skin_there_is_nothing_to_say():
    nothing = [np.zeros((SIZE, SIZE), np.float32)] * FRAMES
    found = measure_flicker(clip(), clip(), nothing)
    assert found.pairs == 0
    assert found.flicker_ratio == 1
    with pytest.raises(ShapeError):
        measure_flicker(clip(), clip(), [mask()[:-1]] * FRAMES)


@pytest.mark.parametrize("name", ["presenter_hd.mp4", "senator.mp4"])
def test_real_footage_is_told_from_deliberate_errors(shared_clips, name):
    path = shared_clips / name
    if not path.is_file():
        pytest.skip(f"there is no {name} among the shared clips")
    frames = [picture.rgb() for picture in islice(read_pictures(path), 6)]
    height, width = frames[0].shape[:2]
    rows, columns = np.mgrid[:height, :width]
    away = np.hypot((columns - width / 2) / width, (rows - height / 2) / width)
    alpha = np.float32(away < 0.15)
    masks, chance = [alpha] * len(frames), np.random.default_rng(0)
    lay = lambda frame, step: frame.astype(np.float32) / 255 + step * alpha[..., None]  # noqa: E731
    steps = [lay(frame, 0.02) for frame in frames]
    flickers = [lay(frame, np.float32(0.01 * chance.normal())) for frame in frames]
    assert measure_seams(frames, steps, masks).step == pytest.approx(0.02, rel=0.25)
    assert measure_seams(frames, steps, masks).jump_ratio > 1.2
    assert measure_seams(frames, frames, masks).jump_ratio == 1
    assert measure_flicker(frames, steps, masks).flicker_ratio == pytest.approx(1, abs=0.1)
    assert measure_flicker(frames, flickers, masks).flicker_ratio > 1.5
