"""Batches, training, rendering and contact sheets of the neural renderer."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from metatalk.errors import FittingError, ShapeError
from metatalk.neural import training
from metatalk.neural.batches import (
    LowerFaceCrops,
    Windows,
    augment,
    draw_windows,
    find_mask_box,
    measure_attention,
    prepare_frames,
    split_frames,
)
from metatalk.neural.config import NeuralConfig
from metatalk.neural.contact import GAP_PX, contact_sheet, draw_contact_sheet
from metatalk.neural.generator import build_generator
from metatalk.neural.infer import choose_precision, prepare_for_rendering, render_lower
from metatalk.neural.scoring import score_pictures, spread_frames
from metatalk.neural.training import Trainer, train_renderer

CPU = torch.device("cpu")
TINY = NeuralConfig(
    steps=12, batch=2, window_px=16, widths=(8, 8, 8, 8), discriminator_width=4, minutes=60
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small lose time to every further thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def crops() -> LowerFaceCrops:
    """A mouth, a dark bar on skin, that opens and closes; footage is its darker twin."""
    frames, size = 40, 32
    synthetic = np.full((frames, size, size, 3), 180, np.uint8)
    for frame in range(frames):
        synthetic[frame, 16 : 18 + frame % 8, 8:24] = 60
    mask = np.zeros((frames, size, size), np.uint8)
    mask[:, 8:28, 4:28] = 255
    return LowerFaceCrops((synthetic * 0.7).astype(np.uint8), synthetic, mask)


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


def test_windows_are_cut_alike_from_all_pictures(crops: LowerFaceCrops) -> None:
    frames = prepare_frames(crops, np.arange(40), TINY)
    windows = draw_windows(frames, TINY, np.random.default_rng(0))
    assert windows.real.shape == windows.synthetic.shape == (2, 16, 16, 3)
    assert windows.mask.shape == windows.attention.shape == (2, 16, 16)
    np.testing.assert_array_equal(windows.real, (windows.synthetic * 0.7).astype(np.uint8))


def test_attention_goes_to_what_moves(crops: LowerFaceCrops) -> None:
    attention = measure_attention(crops, np.arange(40), strength=1.0)
    assert attention[20, 16] > 1.5 > 0.5 > attention[10, 16]
    even = measure_attention(crops, np.arange(40), strength=0.0)
    np.testing.assert_array_equal(even, np.ones((32, 32)))
    still = replace(crops, real=np.zeros_like(crops.real))
    np.testing.assert_array_equal(measure_attention(still, np.arange(40), 1.0), even)


def test_augmentation_widens_the_mask_and_keeps_the_pairing(crops: LowerFaceCrops) -> None:
    attention = np.ones((2, 32, 32), np.float32)
    places = np.array([[0, 0, 1, 1]] * 2, np.float32)
    windows = Windows(crops.real[:2], crops.synthetic[:2], crops.mask[:2], attention, places)
    config = replace(TINY, mask_growth_px=3, colour_jitter=0.1)
    batch = augment(windows, config, np.random.default_rng(5), CPU)
    assert int(batch.mask.sum()) >= int((crops.mask[:2] > 0).sum())
    lit = batch.synthetic < 1  # elsewhere the gain has clipped
    torch.testing.assert_close(batch.real[lit], 0.7 * batch.synthetic[lit], atol=0.02, rtol=0)


def test_training_learns(crops: LowerFaceCrops) -> None:
    config = replace(TINY, steps=80, learning_rate=5e-3, adversarial_start=1.0)
    before = train_renderer(crops, replace(config, steps=1), CPU, seed=0).metrics
    after = train_renderer(crops, config, CPU, seed=0).metrics
    assert after["held_out_psnr_db"] > before["held_out_psnr_db"] + 3
    assert after["held_out_frames"] == 4


@pytest.mark.parametrize("killed_at", [3, 9])
def test_a_killed_training_goes_on_as_if_nothing_had_happened(
    crops: LowerFaceCrops, killed_at: int
) -> None:
    stored: list[dict[str, Any]] = []

    def progress(done: int, total: int | None, note: str = "", /) -> None:
        assert total == TINY.steps
        assert note.startswith("L1")
        if done == killed_at:
            stored.append(_through_a_file(trainers[-1].state()))
            raise KeyboardInterrupt

    trainers: list[Trainer] = []

    class Watched(Trainer):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            trainers.append(self)

    whole = train_renderer(crops, TINY, CPU, seed=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "Trainer", Watched)
        with pytest.raises(KeyboardInterrupt):
            train_renderer(crops, TINY, CPU, seed=3, progress=progress)
    resumed = train_renderer(crops, TINY, CPU, seed=3, load=lambda: stored[0])
    assert resumed.metrics["steps"] == TINY.steps
    for name, value in whole.state.items():
        torch.testing.assert_close(resumed.state[name], value, msg=name)


def _through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    loaded: dict[str, Any] = torch.load(buffer, weights_only=True)
    return loaded


def test_the_state_is_saved_at_intervals_and_at_the_end(crops: LowerFaceCrops) -> None:
    saved: list[int] = []
    config = replace(TINY, checkpoint_seconds=0.0)
    train_renderer(crops, config, CPU, seed=0, save=lambda state: saved.append(state["step"]))
    assert saved == list(range(1, TINY.steps + 1))
    saved.clear()
    config = replace(TINY, checkpoint_seconds=1e9)
    train_renderer(crops, config, CPU, seed=0, save=lambda state: saved.append(state["step"]))
    assert saved == [TINY.steps]


def test_the_clock_ends_a_training(crops: LowerFaceCrops) -> None:
    config = replace(TINY, minutes=1e-4, steps=10**6)
    assert train_renderer(crops, config, CPU, seed=0).metrics["steps"] < 100


def test_a_finished_training_is_not_trained_again(crops: LowerFaceCrops) -> None:
    states: list[dict[str, Any]] = []
    first = train_renderer(crops, TINY, CPU, seed=0, save=states.append)
    again = train_renderer(crops, TINY, CPU, seed=0, load=lambda: states[-1])
    assert again.metrics["steps"] == first.metrics["steps"] == TINY.steps


def test_out_of_memory_halves_the_batch(
    crops: LowerFaceCrops, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    step = Trainer.train_step

    def hungry(trainer: Trainer, batch: Any) -> float:
        if len(batch.real) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to ...")
        return step(trainer, batch)

    monkeypatch.setattr(Trainer, "train_step", hungry)
    result = train_renderer(crops, replace(TINY, batch=8), CPU, seed=0)
    assert result.metrics["steps"] == TINY.steps
    assert "batches of 2" in caplog.text


def test_a_loss_that_is_not_a_number_stops_the_training(
    crops: LowerFaceCrops, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "train_step", lambda *_: float("nan"))
    with pytest.raises(FittingError, match="diverged"):
        train_renderer(crops, TINY, CPU, seed=0)


def test_training_leaves_the_global_chance_alone(crops: LowerFaceCrops) -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    train_renderer(crops, replace(TINY, steps=2), CPU, seed=0)
    torch.testing.assert_close(torch.rand(1), expected)


def test_rendering_does_not_depend_on_the_batch(crops: LowerFaceCrops) -> None:
    generator = build_generator(TINY)
    pictures = (crops.synthetic[:5], crops.real[:5], crops.mask[:5])
    together = render_lower(generator, *pictures, batch=5)
    apart = render_lower(generator, *pictures, batch=2)
    assert together.shape == (5, 32, 32, 3)
    np.testing.assert_allclose(together, apart, atol=1e-5)


def test_the_fast_form_renders_the_same_picture(crops: LowerFaceCrops) -> None:
    generator = build_generator(TINY)
    pictures = (crops.synthetic[:2], crops.real[:2], crops.mask[:2])
    exact = render_lower(generator, *pictures)
    fast = prepare_for_rendering(generator, CPU)
    assert next(fast.parameters()).dtype == choose_precision(CPU)
    assert next(generator.parameters()).dtype == torch.float32
    np.testing.assert_allclose(render_lower(fast, *pictures), exact, atol=0.02)


def test_rendering_nothing_gives_nothing(crops: LowerFaceCrops) -> None:
    none = render_lower(build_generator(TINY), crops.synthetic[:0], crops.real[:0], crops.mask[:0])
    assert none.shape == (0, 32, 32, 3)


def test_a_perfect_picture_scores_perfectly(crops: LowerFaceCrops) -> None:
    made = crops.real.astype(np.float32) / 255
    score = score_pictures(made, crops.real, crops.mask)
    assert score.psnr_db > 90
    assert score.sharpness_ratio == pytest.approx(1)
    assert score.as_metrics("held_out")["held_out_l1"] == pytest.approx(0, abs=1e-6)


def test_psnr_is_that_of_the_mask(crops: LowerFaceCrops) -> None:
    made = crops.real.astype(np.float32) / 255 + 0.1
    made[crops.mask == 0] = 0
    assert score_pictures(made, crops.real, crops.mask).psnr_db == pytest.approx(20, abs=1e-3)


def test_spread_frames_keeps_both_ends() -> None:
    assert spread_frames(np.arange(100), 3).tolist() == [0, 50, 99]
    assert spread_frames(np.arange(2), 3).tolist() == [0, 1]


def test_contact_sheet_shows_real_synthetic_generated(crops: LowerFaceCrops) -> None:
    real, synthetic = crops.real[:2], crops.synthetic[:2]
    sheet = contact_sheet(real, synthetic, np.ones(real.shape, np.float32))
    assert sheet.shape == (2 * 36 + GAP_PX, 3 * 36 + GAP_PX, 3)
    np.testing.assert_array_equal(sheet[4:36, 4:36], real[0])
    np.testing.assert_array_equal(sheet[40:72, 40:72], synthetic[1])
    assert (sheet[4:36, 76:108] == 255).all()


def test_a_sheet_of_generated_frames_keeps_what_is_outside_the_mask(crops: LowerFaceCrops) -> None:
    sheet = draw_contact_sheet(build_generator(TINY), crops, np.arange(40), rows=3)
    np.testing.assert_array_equal(sheet[4:12, 76:108], crops.real[0][:8])
