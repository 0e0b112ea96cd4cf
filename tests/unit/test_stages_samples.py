"""Texture carried between training frames: from where it may come, and taken up again when killed.

Every frame of the toy footage is filmed in a grey of its own: carried texture tells its source.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mouth_toys import RATE, shade_of, toy_material

from metatalk.neural.batches import split_frames
from metatalk.neural.config import NeuralConfig
from metatalk.neural.samples import PICTURES, Samples
from metatalk.neural.training import SamplePools
from metatalk.render.texture import carry_mouth, carry_skin, fetch_texture, look_at, paint_surface
from metatalk.stages import samples as stage
from metatalk.stages.library import Material
from metatalk.stages.samples import APART_S, NEAR_S, prepare_samples
from metatalk.stages.stage import no_progress

FRAMES = 60
CONFIG = NeuralConfig(samples=70, jitter=0.0, held_out=0.2, held_out_gap=3)
TRAIN, HELD_OUT = split_frames(np.arange(FRAMES), CONFIG)


@pytest.fixture(scope="module")
def material() -> Material:
    return toy_material(FRAMES)


@pytest.fixture(scope="module")
def pools(material: Material, tmp_path_factory: pytest.TempPathFactory) -> SamplePools:
    return prepare(material, CONFIG, tmp_path_factory.mktemp("samples") / "pools")


def prepare(material: Material, config: NeuralConfig, folder: Path, seed: int = 0) -> SamplePools:
    return prepare_samples(material, config, folder, seed, no_progress)


def origins(textures: np.ndarray) -> np.ndarray:
    """(M, 2) the rows that carried textures were filmed in, read off their greys."""
    found = np.empty(textures.shape[:2], int)
    for place in np.ndindex(found.shape):
        pixels = textures[place][textures[place][..., 3] > 200]
        assert len(pixels) > 20
        shades = np.unique(pixels[:, :3])
        assert len(shades) == 1
        found[place] = (int(shades[0]) - shade_of(0)) // (shade_of(1) - shade_of(0))
        assert shade_of(found[place]) == shades[0]
    return found


def test_pairs_are_neighbours_in_time_and_every_frame_is_learned_from(pools: SamplePools) -> None:
    first, second = pools.learned.rows.T
    assert len(first) == CONFIG.samples
    assert set(first) == set(TRAIN)
    steps = dict(zip(first, second - first, strict=True))
    assert steps.pop(TRAIN[-1]) == 0  # the last has no neighbour to learn from
    assert set(steps.values()) == {1}


def test_held_out_frames_are_no_part_of_what_is_learned(pools: SamplePools) -> None:
    learned = pools.learned
    for rows in (learned.rows, origins(learned.filmed), origins(learned.matched)):
        assert set(rows.ravel()) <= set(TRAIN)


def test_filmed_texture_is_near_and_never_of_the_frame_or_its_neighbour(
    pools: SamplePools,
) -> None:
    rows, filmed = pools.learned.rows, origins(pools.learned.filmed)
    away = np.abs(filmed - rows)
    assert away[:, 0].min() >= 2
    assert away[:, 1].min() >= 1  # where the footage ends the source cannot play on
    assert np.abs(filmed[:, :1] - rows).min(1).max() <= NEAR_S * RATE
    assert not (filmed[:, :, None] == rows[:, None]).any()
    assert len(np.unique(filmed)) > len(TRAIN) / 2
    plays_on = filmed[:, 1] - filmed[:, 0]
    assert set(plays_on) <= {0, 1}
    assert (plays_on == 1).mean() > 0.7


def test_matched_texture_is_from_another_time(pools: SamplePools, material: Material) -> None:
    rows, matched = pools.learned.rows, origins(pools.learned.matched)
    away = np.abs(matched - rows)
    assert away[:, 0].min() >= APART_S * RATE
    assert away[:, 1].min() >= APART_S * RATE - 1  # the pair plays on, the source need not
    mouth = material.looks.mouth
    apart = lambda a, b: np.linalg.norm(mouth[a] - mouth[b], axis=-1).mean()  # noqa: E731
    assert apart(matched, rows) < apart(TRAIN[:, None], TRAIN) / 3


def test_frames_that_score_are_held_out_ones_and_some_that_are_learned_from(
    pools: SamplePools,
) -> None:
    trial, shown = pools.trial, set(pools.trial.rows.ravel())
    assert set(HELD_OUT) <= shown
    assert shown <= set(HELD_OUT) | set(TRAIN)
    assert len(shown & set(TRAIN)) >= 30
    filmed, matched, held = (
        origins(trial.filmed),
        origins(trial.matched),
        trial.rows >= TRAIN[-1] + 1,
    )
    assert (filmed != trial.rows).all()
    assert set(filmed[held]) <= set(HELD_OUT)  # the way the footage stands under a driven mouth
    assert set(filmed[~held]) <= set(TRAIN)
    assert set(matched.ravel()) <= set(TRAIN)
    assert (np.abs(matched - trial.rows) >= APART_S * RATE).all()


def test_pictures_are_those_of_the_rows(pools: SamplePools, material: Material) -> None:
    for samples in pools.learned, pools.trial:
        for pair in (0, len(samples) - 1):
            rows = samples.rows[pair]
            track, transforms = material.track.take(rows), material.transforms[rows]
            new = look_at(material.scene, track, transforms, material.crops.mask[rows])
            synthetic, geometry = paint_surface(material.scene, new, track.lighting)
            np.testing.assert_array_equal(samples.synthetic[pair], synthetic)
            np.testing.assert_array_equal(samples.geometry[pair], geometry)
            for name, carry in (("filmed", carry_skin), ("matched", carry_mouth)):
                stored = getattr(samples, name)[pair]
                old = material.look_at(origins(stored[None])[0])
                carried = carry(material.scene, new, old)
                real = material.crops.real[origins(stored[None])[0]]
                rim = geometry if name == "matched" else None
                np.testing.assert_array_equal(stored, fetch_texture(real, carried, rim), name)


def test_choices_depend_on_the_seed_alone(material: Material, tmp_path: Path) -> None:
    config = replace(CONFIG, samples=6, jitter=0.5)
    made = [prepare(material, config, tmp_path / f"{n}", seed) for n, seed in enumerate((1, 1, 2))]
    assert_alike(made[0].learned, made[1].learned)
    assert_alike(made[0].trial, made[1].trial)
    assert not np.array_equal(made[0].learned.rows, made[2].learned.rows)
    np.testing.assert_array_equal(made[0].trial.rows, made[2].trial.rows)


def assert_alike(one: Samples, other: Samples) -> None:
    for name in ("rows", *PICTURES):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)


def test_what_was_made_is_opened_and_what_was_half_made_is_made_again(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int | None]] = []

    def kill(done: int, total: int | None, note: str = "", /) -> None:
        told.append((done, total))
        if done >= 8:
            raise KeyboardInterrupt

    config, folder = replace(CONFIG, samples=6), tmp_path / "samples"
    with pytest.raises(KeyboardInterrupt):
        prepare_samples(material, config, folder, 0, kill)
    assert folder.is_dir()
    again = prepare(material, config, folder)
    whole = prepare(material, config, tmp_path / "whole")
    assert_alike(again.learned, whole.learned)
    assert_alike(again.trial, whole.trial)
    total = len(again.learned) + len(again.trial)
    assert told == [(4, total), (6, total), (10, total)]

    def refuse(*_: Any) -> Any:
        raise AssertionError("it is made once more")

    monkeypatch.setattr(stage, "look_at", refuse)
    opened = prepare(material, config, folder, seed=9)
    assert_alike(opened.learned, again.learned)
    assert_alike(opened.trial, again.trial)


def test_jittered_expressions_leave_the_upper_face_and_the_trial_alone(
    material: Material,
) -> None:
    random = np.random.default_rng(0)
    config = replace(CONFIG, samples=400, jitter=0.5)
    track = replace(material.track, expression=material.track.expression.clone())
    track.expression[:, 2] = torch.linspace(0, 1, FRAMES)  # brows rise slowly
    plan = stage._plan_learned(replace(material, track=track), TRAIN, config, random)
    own = track.expression[torch.from_numpy(plan.rows)]
    off = (plan.expression - own).abs()
    shaken = off.amax((1, 2)) > 0
    assert float(shaken.float().mean()) == pytest.approx(0.5, abs=0.1)
    assert float(off[shaken][..., 0].mean()) > 0.05
    # early or late by two frames at most, by 0.6 of the way, without noise of their own
    assert float(off[..., 2].max()) <= 2 / (FRAMES - 1) * stage.STRONGEST_MIX + 1e-6
    spread = track.expression[torch.from_numpy(TRAIN)].std(0, correction=0)
    moved = (track.expression[2:] - track.expression[:-2]).abs().amax(0)
    assert (off.amax((0, 1)) <= stage.STRONGEST_MIX * moved + 5 * stage.NOISE * spread).all()
    still = stage._plan_learned(material, TRAIN, replace(config, jitter=0.0), random)
    expected = material.track.expression[torch.from_numpy(still.rows)]
    torch.testing.assert_close(still.expression, expected, rtol=0, atol=0)
    trial = stage._plan_trial(material, TRAIN, HELD_OUT, HELD_OUT)
    expected = material.track.expression[torch.from_numpy(trial.rows)]
    torch.testing.assert_close(trial.expression, expected, rtol=0, atol=0)


def test_there_are_no_more_samples_than_the_disk_is_to_hold(
    material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "MOST_BYTES", 5.5 * 2 * 14 * 32 * 32)
    plan = stage._plan_learned(material, TRAIN, CONFIG, np.random.default_rng(0))
    assert len(plan.rows) == 5
    monkeypatch.setattr(stage, "MOST_BYTES", 1.0)
    assert len(stage._plan_learned(material, TRAIN, CONFIG, np.random.default_rng(0)).rows) == 1


def test_frames_far_apart_have_no_neighbours(tmp_path: Path) -> None:
    """Of a long clip few frames are rendered, spread evenly."""
    material = toy_material(12, numbers=100 * np.arange(12))
    pools = prepare(material, replace(CONFIG, samples=12), tmp_path / "samples")
    rows, filmed = pools.learned.rows, origins(pools.learned.filmed)
    assert (rows[:, 0] == rows[:, 1]).all()
    assert (filmed != rows).all()
    assert (origins(pools.learned.matched) != rows).all()


@pytest.mark.parametrize("frames", [3, 4, 7, 9, 25])
def test_of_short_clips_no_frame_is_learned_from_itself(frames: int, tmp_path: Path) -> None:
    material = toy_material(frames)
    config = replace(CONFIG, samples=4 * frames, held_out=0.1)
    pools = prepare(material, config, tmp_path / "samples")
    for textures in (pools.learned.filmed, pools.learned.matched):
        assert (origins(textures) != pools.learned.rows).all()


@pytest.mark.parametrize("frames", [3, 12, 25])
def test_of_short_clips_no_frame_scores_with_its_own_texture(frames: int, tmp_path: Path) -> None:
    """Of 12 frames a single one is held out: there is no other like it."""
    material = toy_material(frames)
    pools = prepare(material, replace(CONFIG, samples=4, held_out=0.1), tmp_path / "samples")
    for textures in (pools.trial.filmed, pools.trial.matched):
        assert (origins(textures) != pools.trial.rows).all()


def test_a_single_frame_is_better_than_none(tmp_path: Path) -> None:
    pools = prepare(toy_material(1), replace(CONFIG, samples=3), tmp_path / "samples")
    assert pools.learned.rows.tolist() == [[0, 0]] * 3
    assert pools.trial.rows.tolist() == [[0, 0]]
