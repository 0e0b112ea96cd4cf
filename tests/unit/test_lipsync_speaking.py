"""The generator's fast form against the plain one, and films redrawn picture by picture."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from metatalk.errors import ShapeError
from metatalk.landmarks.points import IBUG68
from metatalk.landmarks.track import LandmarkTrack
from metatalk.lipsync.mel import SILENCE, chunk_starts
from metatalk.lipsync.speaking import (
    FacePlan,
    gather_references,
    mel_starts,
    plan_faces,
    redraw_faces,
)
from metatalk.lipsync.wav2lip import (
    FIRST_DRAWN,
    LowerFaceGenerator,
    Redrawer,
    Wav2Lip,
    prepare_redrawer,
)
from metatalk.lipsync.wav2lip_config import Wav2LipConfig
from metatalk.media.colour import ColourTags
from metatalk.media.picture import Picture

RATE = 25.0


@pytest.fixture(scope="module")
def generator() -> Wav2Lip:
    """Random weights, the statistics of the norms included."""
    torch.manual_seed(3)
    network = Wav2Lip().eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.uniform_(0.5, 1.5)
            module.bias.uniform_(-0.1, 0.1)
    network.output_block[1].weight.mul_(20)  # so that the picture has some contrast
    return network


def test_the_fast_form_draws_the_same_lower_face(generator: Wav2Lip) -> None:
    mel, faces = torch.randn(2, 1, 80, 16), torch.rand(2, 6, 96, 96)
    keys = list(generator.state_dict())
    with torch.inference_mode():
        whole = generator(mel, faces)
        lower = LowerFaceGenerator(generator)(mel, faces)
    assert whole.std() > 0.05
    assert lower.shape == (2, 3, 96 - FIRST_DRAWN, 96)
    torch.testing.assert_close(lower, whole[:, :, FIRST_DRAWN:], atol=1e-5, rtol=0)
    assert list(generator.state_dict()) == keys  # the generator given is left as it is


def test_one_row_more_at_the_top_would_be_wrong(generator: Wav2Lip) -> None:
    """The rows left out are all that can be: the cut is not wider than it must be."""
    fast = LowerFaceGenerator(generator)
    mel, faces = torch.randn(1, 1, 80, 16), torch.rand(1, 6, 96, 96)
    kept: list[torch.Tensor] = []
    fast.output_block.register_forward_hook(lambda _m, _i, out: kept.append(out))
    with torch.inference_mode():
        fast(mel, faces)
        whole = generator(mel, faces)
    error = (kept[0] - whole[:, :, -kept[0].shape[2] :]).abs().amax(dim=(0, 1, 3))
    assert error[:3].max() > 1e-5
    assert error[3:].max() < 1e-5


def test_the_prepared_redrawer_draws_what_the_plain_one_does(generator: Wav2Lip) -> None:
    rng = np.random.default_rng(0)
    targets, references = rng.integers(0, 255, (2, 3, 96, 96, 3), np.uint8)
    chunks = rng.normal(size=(3, 80, 16)).astype(np.float32)
    plain = Redrawer(generator).redraw(targets, references, chunks)
    cpu = torch.device("cpu")
    for dtype, most in ((torch.float32, 1), (torch.bfloat16, 16)):
        drawn = prepare_redrawer(generator, cpu, dtype).redraw(targets, references, chunks)
        np.testing.assert_array_equal(drawn[:, :FIRST_DRAWN], targets[:, :FIRST_DRAWN])
        apart = np.abs(drawn[:, FIRST_DRAWN:].astype(int) - plain[:, FIRST_DRAWN:])
        assert apart.max() <= most
        assert apart.mean() < 1.5
    assert next(generator.parameters()).dtype == torch.float32


def test_mel_columns_follow_the_times_of_the_frames() -> None:
    for rate in (Fraction(25), Fraction(30000, 1001), Fraction(24), Fraction(50)):
        base = 1 / (rate * 1001)
        ticks = np.arange(200) * 1001
        assert mel_starts(ticks, base, 10_000).tolist() == chunk_starts(200, rate, 10_000).tolist()
    late = mel_starts(np.array([0, 40, 90]), Fraction(1, 1000), 10_000)  # a variable rate
    assert late.tolist() == [0, 3, 7]


def test_frames_after_the_sound_hear_silence() -> None:
    starts = mel_starts(np.array([0, 5, 9, 10, 300]), Fraction(1, 10), 80)
    assert starts.tolist() == [0, 40, 64, 80, 80]  # the last chunk is held, then nothing is heard


def toy_points(x: float = 0.0, gap: float = 0.0) -> np.ndarray:
    points = np.zeros((68, 3), np.float32)
    across = np.linspace(-1, 1, 17)
    points[:17, 0], points[:17, 1] = 40 * across, 20 + 50 * np.sqrt(1 - across**2)
    points[17:27, 0], points[17:27, 1] = np.linspace(-30, 30, 10), -20
    points[27:36, 1] = 20
    points[36:42, 0], points[42:48, 0] = -18, 18
    points[48:68, 1] = 40
    points[66, 1] += gap
    points[:, :2] += (64 + x, 50)
    return points


def toy_track(points: list[np.ndarray | None]) -> LandmarkTrack:
    none = np.full((68, 3), np.nan, np.float32)
    stacked = np.stack([none if p is None else p for p in points])
    seen = np.array([p is not None for p in points])
    shots = np.array([[0, len(points)]])
    return LandmarkTrack(
        stacked, seen.astype(np.float32), seen.astype(np.uint8), shots, IBUG68.layout
    )


def toy_picture(number: int, size: int = 140) -> Picture:
    rng = np.random.default_rng(number)
    luma = rng.integers(60, 180, (size, size), np.uint8)
    u, v = rng.integers(100, 150, (2, size // 2, size // 2), np.uint8)
    return Picture(number, number, (luma, u, v), ColourTags())


class Painter:
    """A teacher who paints the face in one colour and remembers what it was shown."""

    def __init__(self, batch: int = 4) -> None:
        self.batch = batch
        self.references: list[np.ndarray] = []
        self.chunks: list[np.ndarray] = []

    def redraw(self, targets: np.ndarray, references: np.ndarray, chunks: np.ndarray) -> np.ndarray:
        self.references += list(references)
        self.chunks += list(chunks)
        return np.full_like(targets, 0)


def redrawn(
    painter: Painter, plan: FacePlan, frames: list[int], config: Wav2LipConfig
) -> list[Picture]:
    mel = np.tile(np.linspace(-1, 1, 160, dtype=np.float32), (80, 1))
    starts = mel_starts(np.arange(len(frames)), Fraction(1, 25), 160)
    faces = gather_references((toy_picture(t) for t in plan.wanted()), plan)
    pictures = (toy_picture(t) for t in frames)
    return list(redraw_faces(pictures, mel, starts, plan, faces, painter, config))  # type: ignore[arg-type]


def test_only_the_lower_face_changes_and_faceless_frames_not_at_all() -> None:
    config = Wav2LipConfig()
    track = toy_track([toy_points(), None, toy_points(), toy_points()])
    plan = plan_faces(track, RATE, config, np.array([1, 1, 1, 0], np.float32))
    painter = Painter()
    out = redrawn(painter, plan, [0, 1, 2, 3], config)
    assert [p.index for p in out] == [0, 1, 2, 3]
    assert len(painter.chunks) == 2  # a network call costs nothing for frames that are left
    for t in (1, 3):
        for got, was in zip(out[t].planes, toy_picture(t).planes, strict=True):
            np.testing.assert_array_equal(got, was)
    changed = out[0].planes[0] != toy_picture(0).planes[0]
    rows, columns = np.nonzero(changed)
    left, top, right, bottom = plan.boxes[0]
    assert rows.min() > top + 0.4 * (bottom - top)
    assert rows.max() <= bottom
    assert columns.min() >= left
    assert columns.max() <= right
    assert changed[95, 64]  # the mouth
    assert not changed[int(bottom) - 4, int(left) + 8]  # the corner beyond the jaw


def test_a_face_half_outside_the_picture_is_redrawn_inside() -> None:
    config = Wav2LipConfig(box_smooth_s=0.0)
    plan = plan_faces(toy_track([toy_points(x=-60), toy_points(x=-400)]), RATE, config, np.ones(2))
    out = redrawn(Painter(), plan, [0, 1], config)
    assert (out[0].planes[0] != toy_picture(0).planes[0]).any()
    np.testing.assert_array_equal(out[1].planes[0], toy_picture(1).planes[0])


def test_each_picture_hears_its_own_chunk_over_batches_and_gaps() -> None:
    config = Wav2LipConfig()
    points: list[np.ndarray | None] = [toy_points() for _ in range(11)]
    points[3] = None
    plan = plan_faces(toy_track(points), RATE, config, np.ones(11))
    frames = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 9, 8]
    batched, single = Painter(batch=4), Painter(batch=1)
    redrawn(batched, plan, frames, config)
    redrawn(single, plan, frames, config)
    expected = np.linspace(-1, 1, 160)[[80 * n // 25 for n in range(13) if n != 3]]
    heard = [float(chunk[0, 0]) for chunk in batched.chunks]
    np.testing.assert_allclose(heard, expected, atol=1e-6)
    np.testing.assert_array_equal(np.stack(batched.chunks), np.stack(single.chunks))


def test_memory_holds_a_batch_of_pictures() -> None:
    config = Wav2LipConfig()
    plan = plan_faces(toy_track([toy_points()] * 12), RATE, config, np.ones(12))
    drawn = 0

    def source() -> Iterator[Picture]:
        nonlocal drawn
        for t in range(12):
            drawn += 1
            yield toy_picture(t)

    mel = np.full((80, 400), SILENCE, np.float32)
    stream = redraw_faces(source(), mel, np.zeros(12, int), plan, {}, Painter(4), config)  # type: ignore[arg-type]
    next(stream)
    assert drawn == 4


@pytest.mark.parametrize("kind", ["same", "closed", "far"])
def test_references_are_the_frames_own_closed_or_far(kind: str) -> None:
    config = Wav2LipConfig(reference=kind, reference_pool=8, reference_apart_s=0.4)  # type: ignore[arg-type]
    points: list[np.ndarray | None] = [toy_points(gap=9.0 * (t % 4 != 0)) for t in range(40)]
    points[7] = None
    plan = plan_faces(toy_track(points), RATE, config, np.ones(40))
    seen = np.array([t for t in range(40) if t != 7])
    references = plan.references[seen]
    assert 7 not in references
    if kind == "same":
        assert plan.wanted() == []
        np.testing.assert_array_equal(references, seen)
    else:
        assert 0 < len(plan.wanted()) <= 8
        assert plan.wanted() == sorted(set(references[references != seen].tolist()))
    if kind == "closed":
        assert (references % 4 == 0).all()
    if kind == "far":
        assert (np.abs(references - seen) >= 10).all()
    painter = Painter()
    redrawn(painter, plan, [5], config)
    used = toy_picture(int(plan.references[5]))
    own = gather_references([used], plan)[used.index]
    np.testing.assert_array_equal(painter.references[0], own)


def test_strength_of_another_length_is_refused() -> None:
    with pytest.raises(ShapeError, match="strength"):
        plan_faces(toy_track([toy_points()] * 3), RATE, Wav2LipConfig(), np.ones(4))
