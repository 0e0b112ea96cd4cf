"""Carry texture between the training frames: what our renderer learns from."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from metatalk.neural.batches import split_frames
from metatalk.neural.config import NeuralConfig
from metatalk.neural.matching import draw_donor, draw_match
from metatalk.neural.samples import Samples
from metatalk.neural.scoring import spread_frames
from metatalk.neural.training import SamplePools
from metatalk.render.texture import (
    carry_mouth,
    carry_skin,
    fetch_texture,
    look_at,
    paint_surface,
)
from metatalk.stages.artefacts import create_samples, open_samples
from metatalk.stages.library import Material
from metatalk.stages.stage import Progress

LOG = logging.getLogger(__name__)
BATCH = 4  # pairs at a time
APART_S = 1.0  # matched texture is from at least so far away: at hand, it would be the answer
BESIDE_S = 0.12  # texture that stands in for the footage is not from as near as this,
NEAR_S = 2.5  # nor from farther away
TRIAL = (64, 32)  # frames that score: held out, and learned from
STRONGEST_MIX = 0.6  # of a neighbour's expression in a jittered one
NOISE = 0.1  # standard deviations of the units added to a jittered one
MOST_BYTES = 3e9
COMPLETE = "complete"  # the file that says that all samples are there


@dataclass(frozen=True, eq=False)
class Plan:
    """Which pairs are made of what; all (M, 2) rows of the crops."""

    rows: np.ndarray
    filmed: np.ndarray
    matched: np.ndarray
    expression: torch.Tensor  # (M, 2, E) what they are drawn with

    def take(self, part: slice) -> Plan:
        """Some of the pairs."""
        return Plan(*(array[part] for array in vars(self).values()))


def prepare_samples(
    material: Material, config: NeuralConfig, folder: Path, seed: int, progress: Progress
) -> SamplePools:
    """Make the samples, or open those that an interrupted run has made.

    Args:
        material: the training clip.
        config: how many, and how many of them with a jittered expression.
        folder: where they lie; there is nothing of worth in it once the training has ended.
        seed: of the choices.
        progress: told how far it is.

    Returns:
        The samples.
    """
    done = folder / COMPLETE
    if not done.is_file():
        discard_samples(folder)
        train, held_out = split_frames(material.crops.usable(), config)
        random = np.random.default_rng((seed, 2))
        trial_rows = np.concatenate([spread_frames(held_out, TRIAL[0]),
                                     spread_frames(train, TRIAL[1])])  # fmt: skip
        learned = _plan_learned(material, train, config, random)
        trial = _plan_trial(material, train, held_out, trial_rows)
        total = len(learned.rows) + len(trial.rows)
        _fill(material, learned, folder / "learned", progress, 0, total)
        _fill(material, trial, folder / "trial", progress, len(learned.rows), total)
        done.touch()
    return SamplePools(open_samples(folder / "learned"), open_samples(folder / "trial"))


def discard_samples(folder: Path) -> None:
    """Remove samples; what is left of a removal that is cut short is never taken for whole."""
    (folder / COMPLETE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def carry_to(material: Material, rows: np.ndarray, folder: Path) -> Samples:
    """Carry texture to some frames from all others, as if they were to score.

    Args:
        material: the training clip.
        rows: (N,) rows of the crops.
        folder: where the arrays are to lie.

    Returns:
        Their samples, two rows to a pair.
    """
    every = np.arange(len(material.looks))
    plan = _plan_trial(material, every, np.zeros(0, np.int64), rows)
    return _fill(material, plan, folder, lambda *_: None, 0, len(plan.rows))


def _plan_learned(
    material: Material, train: np.ndarray, config: NeuralConfig, random: np.random.Generator
) -> Plan:
    """Every frame comes at least once where there are samples enough."""
    bytes_each = 2 * 14 * material.crops.size**2
    count = max(1, min(config.samples, int(MOST_BYTES / bytes_each)))
    if count < config.samples:
        LOG.info(
            "%d pairs of samples in place of %d: more take too much disk", count, config.samples
        )
    firsts = np.concatenate([random.permutation(train) for _ in range(-(-2 * count // len(train)))])
    rows = np.stack([[row, _next(material, row, train)] for row in firsts[:count]])
    sources = [_draw_sources(material, pair, train, train, random) for pair in rows]
    filmed, matched = (np.stack(part) for part in zip(*sources, strict=True))
    expression = material.track.expression[torch.from_numpy(rows)]
    shaken = random.random(count) < config.jitter
    expression = _jitter(material, rows, expression, shaken, train, random)
    return Plan(rows, filmed, matched, expression)


def _plan_trial(
    material: Material, train: np.ndarray, held_out: np.ndarray, chosen: np.ndarray
) -> Plan:
    """Frames that score, two to a pair; held-out frames are stood in for by held-out frames."""
    rows = np.append(chosen, chosen[-1:])[: len(chosen) + len(chosen) % 2].reshape(-1, 2)
    held = np.isin(rows, held_out)
    filmed, matched = np.empty_like(rows), np.empty_like(rows)
    for place, row in np.ndenumerate(rows):
        around = held_out if held[place] and len(held_out) > 1 else train
        own = np.array([row])
        filmed[place] = draw_donor(material.looks, row, _near(material, own, around), None)
        matched[place] = draw_match(
            material.looks, row, _apart(material, own, train), material.blur, None
        )
    return Plan(rows, filmed, matched, material.track.expression[torch.from_numpy(rows)])


def _draw_sources(
    material: Material,
    pair: np.ndarray,
    around: np.ndarray,
    train: np.ndarray,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of filmed and matched texture of a pair; both play on where they can."""
    row = int(pair[0])
    filmed = draw_donor(material.looks, row, _near(material, pair, around), random)
    matched = draw_match(material.looks, row, _apart(material, pair, train), material.blur, random)
    playing = [(source, _next(material, source, train)) for source in (filmed, matched)]
    first, second = (np.array([a, a if b in pair else b]) for a, b in playing)
    return first, second


def _next(material: Material, row: int, allowed: np.ndarray) -> int:
    """The row of the next frame; the row itself at a cut, or where that one is not allowed."""
    following, frames, shots = int(row) + 1, material.frames, material.crops.shots
    if following >= len(frames) or frames[following] != frames[row] + 1:
        return int(row)
    is_cut = shots is not None and bool((shots[:, 0] == frames[following]).any())
    return int(row) if is_cut or following not in allowed else following


def _near(material: Material, own: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows near in time, without a pair's own and those beside them; else all but its own."""
    away = _distance(material, own, rows)
    beside = max(2.0, round(BESIDE_S * material.rate))
    near = rows[(away >= beside) & (away <= NEAR_S * material.rate)]
    others = rows[away >= 1]
    return near if len(near) else others if len(others) else rows


def _apart(material: Material, own: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows far enough away in time; of a clip too short for that, the farther half."""
    away = _distance(material, own, rows)
    far = rows[away >= APART_S * material.rate]
    others = rows[away >= max(1.0, float(np.median(away)))]
    return far if len(far) else others if len(others) else rows


def _distance(material: Material, own: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """How many frames away rows are from the nearer one of a pair's own."""
    away: np.ndarray = np.abs(material.frames[rows][:, None] - material.frames[own]).min(1)
    return away


def _jitter(
    material: Material,
    rows: np.ndarray,
    expression: torch.Tensor,
    shaken: np.ndarray,
    train: np.ndarray,
    random: np.random.Generator,
) -> torch.Tensor:
    """Put some expressions a little off: early or late, and by a little of everything.

    So are those that are predicted from sound; a renderer that has never seen it answers with
    blurred lips.
    """
    spread = material.track.expression[torch.from_numpy(train)].std(0, correction=0).numpy()
    lower = material.scene.model.lower_units.numpy()
    out = expression.clone()
    for pair in np.flatnonzero(shaken):
        moved = np.clip(rows[pair] + random.choice([-2, -1, 1, 2]), train[0], train[-1])
        near = np.abs(material.frames[moved] - material.frames[rows[pair]]) <= 2
        moved = np.where(near, moved, rows[pair])
        share = STRONGEST_MIX * random.random()
        other = material.track.expression[torch.from_numpy(moved)]
        noise = NOISE * spread * lower * random.standard_normal(len(spread))
        mixed = (1 - share) * expression[pair] + share * other
        out[pair] = mixed + torch.from_numpy(noise.astype(np.float32))
    return out


def _fill(
    material: Material, plan: Plan, folder: Path, progress: Progress, done: int, total: int
) -> Samples:
    samples = create_samples(folder, plan.rows, material.crops.size)
    for part in _parts(len(plan.rows)):
        pairs = plan.take(part)
        track = material.track.take(pairs.rows.ravel()).with_expression(
            pairs.expression.flatten(0, 1)
        )
        transforms = material.transforms[pairs.rows.ravel()]
        mask = np.asarray(material.crops.mask[pairs.rows.ravel()])
        new = look_at(material.scene, track, transforms, mask)
        shape = (len(pairs.rows), 2)
        synthetic, geometry = paint_surface(material.scene, new, track.lighting)
        samples.synthetic[part] = synthetic.reshape(*shape, *synthetic.shape[1:])
        samples.geometry[part] = geometry.reshape(*shape, *geometry.shape[1:])
        for name, rows, carry in (
            ("filmed", pairs.filmed.ravel(), carry_skin),
            ("matched", pairs.matched.ravel(), carry_mouth),
        ):
            old = material.look_at(rows)
            # The footage itself, when an actor is driven, is in the very same pose.
            rim = geometry if name == "matched" else None
            carried = carry(material.scene, new, old)
            texture = fetch_texture(material.crops.real[rows], carried, rim)
            getattr(samples, name)[part] = texture.reshape(*shape, *texture.shape[1:])
        progress(done + part.stop, total, "carrying texture")
    return samples


def _parts(count: int) -> Iterator[slice]:
    for start in range(0, count, BATCH):
        yield slice(start, min(start + BATCH, count))
