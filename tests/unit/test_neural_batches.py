"""From stored crops and samples to batches: the split, pairs, windows, gains, hidden texture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from neural_toys import TINY, bar_mouth

from metatalk.errors import FittingError, ShapeError
from metatalk.neural.batches import (
    LowerFaceCrops,
    TrainingFrames,
    Windows,
    augment,
    draw_windows,
    find_mask_box,
    measure_attention,
    prepare_frames,
    split_frames,
)
from metatalk.neural.config import NeuralConfig
from metatalk.neural.samples import PICTURES, Samples
from metatalk.stages.artefacts import create_samples, open_samples

PLAIN = replace(TINY, colour_jitter=0.0, mask_growth_px=0, hidden=(0.0, 0.0))


@pytest.fixture
def crops() -> LowerFaceCrops:
    return bar_mouth()


def chart(rows: np.ndarray, size: int, channels: int) -> np.ndarray:
    """(..., S, S, C) uint8: which row, which column and which line of the crop a pixel is of."""
    y, x = np.mgrid[:size, :size]
    picture = np.zeros((*rows.shape, size, size, channels), np.uint8)
    picture[..., 0], picture[..., 1], picture[..., 2] = rows[..., None, None], x, y
    return picture


def charted() -> TrainingFrames:
    """Crops and samples whose pixels say where they are from; pairs are (2, 3), (3, 4), ..."""
    toy, pairs = bar_mouth(), np.stack([np.arange(2, 32), np.arange(3, 33)], -1)
    crops = replace(toy, real=chart(np.arange(40), 32, 3))
    pictures = {name: chart(pairs, 32, channels) for name, channels in PICTURES.items()}
    return prepare_frames(crops, Samples(pairs, **pictures), np.arange(40), TINY)


def windows_of(picture: np.ndarray, trust: int = 200) -> Windows:
    """Four windows that show one picture everywhere."""
    four = np.repeat(picture[None], 4, axis=0)
    trusted = np.concatenate([four, np.full((*four.shape[:3], 1), trust, np.uint8)], -1)
    mask, side = np.zeros(four.shape[:3], np.uint8), picture.shape[0]
    mask[:, side // 2, side // 2] = 255
    places = np.array([[0, 0, 1, 1]] * 4, np.float32)
    ones = np.ones(four.shape[:3], np.float32)
    return Windows(four, four, four, trusted, trusted, mask, ones, places)


def test_split_leaves_a_gap_before_the_held_out_frames() -> None:
    frames = np.arange(100, 300)
    train, held_out = split_frames(frames, NeuralConfig(held_out=0.1, held_out_gap=10))
    assert held_out.tolist() == list(range(280, 300))
    assert train.tolist() == list(range(100, 270))


def test_a_clip_of_three_frames_trains_on_all_of_them() -> None:
    train, held_out = split_frames(np.arange(3), NeuralConfig())
    assert (len(train), len(held_out)) == (3, 0)


def test_no_face_at_all_is_an_error() -> None:
    with pytest.raises(FittingError, match="no frame"):
        split_frames(np.arange(0), NeuralConfig())


def test_frames_without_a_face_are_left_out(crops: LowerFaceCrops) -> None:
    has_face = np.arange(40) % 2 == 0
    assert replace(crops, has_face=has_face).usable().tolist() == list(range(0, 40, 2))


def test_crops_must_agree(crops: LowerFaceCrops) -> None:
    with pytest.raises(ShapeError, match="mask"):
        replace(crops, mask=crops.mask[:, :16])


def test_mask_box_holds_every_mask(crops: LowerFaceCrops) -> None:
    assert find_mask_box(crops.mask, np.arange(40)) == (4, 8, 28, 28)
    assert find_mask_box(np.zeros_like(crops.mask), np.arange(40)) == (0, 0, 32, 32)


def test_attention_goes_to_what_moves(crops: LowerFaceCrops) -> None:
    attention = measure_attention(crops, np.arange(40), strength=1.0)
    assert attention[20, 16] > 1.5 > 0.5 > attention[10, 16]
    even = measure_attention(crops, np.arange(40), strength=0.0)
    np.testing.assert_array_equal(even, np.ones((32, 32)))
    still = replace(crops, real=np.zeros_like(crops.real))
    np.testing.assert_array_equal(measure_attention(still, np.arange(40), 1.0), even)


@pytest.mark.parametrize("batch", [1, 4, 5])
def test_windows_are_cut_alike_from_all_pictures_and_from_both_frames(batch: int) -> None:
    windows = draw_windows(charted(), TINY, batch, np.random.default_rng(batch))
    for name in ("real", *PICTURES):
        picture = getattr(windows, name)
        assert picture.shape[:3] == (batch, 16, 16)
        np.testing.assert_array_equal(picture[..., :3], windows.real, err_msg=name)
    row, left, top = windows.real[:, 0, 0].astype(int).T
    corners = np.stack([left, top, left + 16, top + 16], -1)
    np.testing.assert_array_equal(windows.places, corners / np.float32(32))
    for first in range(0, batch - 1, 2):
        assert row[first + 1] == row[first] + 1
        assert corners[first + 1].tolist() == corners[first].tolist()
    for n in range(batch):
        view = np.s_[top[n] : top[n] + 16, left[n] : left[n] + 16]
        np.testing.assert_array_equal(windows.mask[n], bar_mouth().mask[0][view])


def test_windows_come_from_all_pairs_and_places() -> None:
    training, random = charted(), np.random.default_rng(0)
    seen = np.concatenate(
        [draw_windows(training, TINY, 2, random).real[0, 0, 0][None] for _ in range(400)]
    )
    assert set(seen[:, 0]) == set(range(2, 32))
    # the masks' box is 4 to 28 by 8 to 28; windows of 16 may overhang it by 2
    assert (seen[:, 1].min(), seen[:, 1].max()) == (2, 14)
    assert (seen[:, 2].min(), seen[:, 2].max()) == (6, 14)


def test_augmentation_widens_the_mask() -> None:
    windows = windows_of(np.full((16, 16, 3), 100, np.uint8))
    areas = {
        int(
            augment(windows, replace(PLAIN, mask_growth_px=3), np.random.default_rng(n))
            .mask[0]
            .sum()
        )
        for n in range(40)
    }
    assert areas == {1, 9, 25, 49}


def test_without_strengths_a_batch_is_what_is_stored() -> None:
    random = np.random.default_rng(0)
    windows = windows_of(random.integers(0, 256, (16, 16, 3), np.uint8), trust=51)
    batch = augment(windows, PLAIN, random)
    stored = torch.from_numpy(windows.real).permute(0, 3, 1, 2) / 255
    for name in ("real", "synthetic", "geometry"):
        torch.testing.assert_close(getattr(batch, name), stored)
    for texture in (batch.filmed, batch.matched):
        torch.testing.assert_close(texture[:, :3], stored)
        torch.testing.assert_close(texture[:, 3], torch.full((4, 16, 16), 0.2))
    assert batch.real.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(
        batch.mask, torch.from_numpy(windows.mask[:, None] / np.float32(255))
    )
    torch.testing.assert_close(batch.places, torch.from_numpy(windows.places))


def test_light_changes_alike_for_a_pair_and_a_little_otherwise_for_matched_texture() -> None:
    windows = windows_of(np.full((16, 16, 3), 100, np.uint8))
    batch = augment(windows, replace(PLAIN, colour_jitter=0.3), np.random.default_rng(2))
    gain = lambda part: part[:, :3].mean((2, 3)) * 255 / 100  # noqa: E731
    own = gain(batch.real)
    for name in ("synthetic", "filmed"):
        torch.testing.assert_close(gain(getattr(batch, name)), own)
    torch.testing.assert_close(own[::2], own[1::2])  # or the skin of a pair would flicker
    assert float((own[0] - own[2]).abs().max()) > 0.02
    assert float((own - 1).abs().max()) < 0.3 + 0.1 + 0.3 * 0.1
    other = gain(batch.matched)
    torch.testing.assert_close(other[::2], other[1::2])
    assert 0.005 < float((other - own).abs().max()) < 0.25
    torch.testing.assert_close(batch.geometry, torch.full_like(batch.geometry, 100 / 255))
    for texture in (batch.filmed, batch.matched):
        torch.testing.assert_close(texture[:, 3], torch.full((4, 16, 16), 200 / 255))


def test_textures_are_hidden_as_often_as_asked_and_from_both_frames_of_a_pair() -> None:
    windows = windows_of(np.full((16, 16, 3), 100, np.uint8))
    config, random = replace(PLAIN, hidden=(0.5, 0.1)), np.random.default_rng(0)
    hidden = np.zeros((2, 4, 300), bool)
    for n in range(300):
        batch = augment(windows, config, random)
        for source, texture in enumerate((batch.filmed, batch.matched)):
            shown = texture.amax((1, 2, 3)) > 0
            hidden[source, :, n] = ~shown.numpy()
            torch.testing.assert_close(shown, texture[:, 3].amax((1, 2)) > 0)  # trust as well
    np.testing.assert_array_equal(hidden[:, ::2], hidden[:, 1::2])
    np.testing.assert_allclose(hidden.mean((1, 2)), [0.5, 0.1], atol=0.06)
    assert (hidden[:, 0] != hidden[:, 2]).any()


def test_a_batch_of_one_is_augmented_like_any_other() -> None:
    windows = draw_windows(charted(), TINY, 3, np.random.default_rng(0))
    batch = augment(windows, replace(TINY, hidden=(0.9, 0.9)), np.random.default_rng(0))
    assert len(batch.real) == len(batch.filmed) == len(batch.matched) == len(batch.places) == 3


def test_samples_are_kept_as_they_were_made(tmp_path: Path) -> None:
    rows = np.array([[3, 4], [9, 9], [20, 21]])
    made = create_samples(tmp_path / "samples", rows, 16)
    for name, channels in PICTURES.items():
        getattr(made, name)[:] = chart(rows, 16, channels)
    found = open_samples(tmp_path / "samples")
    assert len(found) == 3
    np.testing.assert_array_equal(found.rows, rows)
    for name, channels in PICTURES.items():
        np.testing.assert_array_equal(getattr(found, name), chart(rows, 16, channels))
    with pytest.raises(ValueError, match="read-only"):
        found.filmed[0] = 0
    pairs, which = found.nearest(np.array([0, 4, 9, 19, 100]))
    assert pairs.tolist() == [0, 0, 1, 2, 2]
    assert which.tolist() == [0, 1, 0, 0, 1]
    with pytest.raises(ShapeError, match="filmed"):
        replace(found, filmed=found.synthetic)
    with pytest.raises(ShapeError, match="rows"):
        replace(found, rows=rows[:, :1])
