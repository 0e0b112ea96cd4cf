"""The generator on the processor: the readable version against the fast one."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from neural_toys import CPU, TINY
from torch.nn import functional

from metatalk.errors import ShapeError
from metatalk.neural.config import GRID_PX
from metatalk.neural.generator import Generator, _let_through, build_generator
from metatalk.neural.infer import prepare_for_rendering, render_crops
from metatalk.neural.pictures import CropPictures
from metatalk.neural.pix2pix import Pix2PixGenerator
from metatalk.neural.processor import (
    ProcessorRenderer,
    _centred_levels,
    _stack,
    find_box,
    let_through,
)

NARROW = (8, 8, 8, 8)
SIZE = 64


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def crops(mask: np.ndarray, seed: int = 0) -> CropPictures:
    """Noise around and under a mask; trust in patches, none in some of them."""
    drawn = [noise(*mask.shape, n, seed=seed + n) for n in (3, 3, 3, 4, 4)]
    for texture, patch in zip(drawn[3:], (7, 5), strict=True):
        texture[..., 3] = np.where(texture[:, ::patch, ::patch, 3] < 60, 0, 255).repeat(
            patch, 1
        ).repeat(patch, 2)[:, : mask.shape[1], : mask.shape[2]] // (1 + texture[..., 3] % 3)
    return CropPictures(drawn[0], drawn[1], mask, None, drawn[2], drawn[3], drawn[4])


def masks(box: tuple[int, int, int, int], size: int = SIZE, batch: int = 2) -> np.ndarray:
    left, top, right, bottom = box
    mask = np.zeros((batch, size, size), np.uint8)
    mask[:, top:bottom, left:right] = 255
    return mask


def lively(widths: tuple[int, ...] = NARROW, **sees: bool) -> Generator:
    """A generator whose last layers say something, unlike untrained ones."""
    torch.manual_seed(0)
    generator = Generator(widths, **sees).eval().requires_grad_(False)
    generator.head.weight.mul_(5)
    generator.gates.weight.mul_(20)
    return generator


WHOLE = masks((0, 0, SIZE, SIZE))
HOLED = WHOLE.copy()
HOLED[:, 20:30, 20:40] = 0


@pytest.mark.parametrize("mask", [WHOLE, HOLED])
def test_the_fast_generator_draws_what_the_readable_one_draws(mask: np.ndarray) -> None:
    generator, pictures = lively(), crops(mask)
    expected = render_crops(generator, pictures)
    made = render_crops(ProcessorRenderer(generator), pictures)
    assert expected.passed is not None
    assert made.passed is not None
    assert expected.passed.std() > 0.1
    assert expected.picture.std() > 0.05
    np.testing.assert_allclose(made.picture, expected.picture, atol=2e-5)
    np.testing.assert_allclose(made.passed, expected.passed, atol=2e-5)
    assert made.picture.dtype == made.passed.dtype == np.float32


@pytest.mark.parametrize("without", [("geometry",), ("filmed",), ("matched", "filmed", "geometry")])
def test_what_is_not_given_is_black_to_both(without: tuple[str, ...]) -> None:
    generator, pictures = lively(), crops(WHOLE)
    for name in without:
        pictures = replace(pictures, **{name: None})
    expected, made = (
        render_crops(drawer, pictures) for drawer in (generator, ProcessorRenderer(generator))
    )
    np.testing.assert_allclose(made.picture, expected.picture, atol=2e-5)
    np.testing.assert_allclose(made.passed, expected.passed, atol=2e-5)


@pytest.mark.parametrize("hidden", ["sees_carried", "sees_geometry"])
def test_what_is_switched_off_is_hidden_from_both(hidden: str) -> None:
    generator = lively(**{hidden: False})
    expected, made = (
        render_crops(drawer, crops(WHOLE)) for drawer in (generator, ProcessorRenderer(generator))
    )
    np.testing.assert_allclose(made.picture, expected.picture, atol=2e-5)
    seen = render_crops(ProcessorRenderer(lively()), crops(WHOLE))
    assert np.abs(made.picture - seen.picture).max() > 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_inputs_are_the_same_to_the_last_bit(dtype: torch.dtype) -> None:
    pictures, table = crops(HOLED), _centred_levels(dtype)
    assert pictures.geometry is not None
    assert pictures.filmed is not None
    assert pictures.matched is not None
    stack = np.empty((SIZE, SIZE, 18), table.dtype)
    _stack(
        pictures.synthetic[0], pictures.real[0], pictures.mask[0], pictures.geometry[0],
        pictures.filmed[0], pictures.matched[0], table, stack,
    )  # fmt: skip
    made = torch.from_numpy(stack).view(dtype).permute(2, 0, 1)
    expected = (Generator(NARROW).gather(pictures.to(CPU))[0] - 0.5).to(dtype)
    assert torch.equal(made, expected)


def test_texture_is_let_through_alike() -> None:
    random = torch.Generator().manual_seed(3)
    head = torch.randn(1, 12, 16, 24, generator=random) / 4
    gates = 6 * torch.randn(1, 6, 16, 24, generator=random)  # some beyond what is clamped
    pictures, mask = crops(masks((3, 2, 40, 32), 48, 1), seed=4), masks((3, 2, 40, 32), 48, 1)
    assert pictures.filmed is not None
    assert pictures.matched is not None
    filmed, matched, inside = (
        np.ascontiguousarray(array[0, :32]) for array in (pictures.filmed, pictures.matched, mask)
    )
    pixels = lambda planes: np.ascontiguousarray(planes[0].permute(1, 2, 0).numpy())  # noqa: E731
    made, passed = let_through(pixels(head), pixels(gates), filmed, matched, inside)
    sources = np.concatenate([filmed, matched], -1) * (inside[..., None] > 0) / np.float32(255)
    expected, _, weights = _let_through(
        torch.from_numpy(sources).permute(2, 0, 1)[None],
        functional.pixel_shuffle(head, 2),
        functional.interpolate(gates, scale_factor=2, mode="bilinear", align_corners=False),
    )
    np.testing.assert_allclose(made, pixels(expected.clamp(0, 1)), atol=2e-5)
    np.testing.assert_allclose(passed, weights[0, 0].numpy(), atol=2e-5)


def test_only_the_surroundings_of_the_mask_are_rendered_as_a_window_of_the_crop() -> None:
    size, mask = 256, masks((96, 112, 150, 160), 256, 1)
    generator, pictures = lively(), crops(mask)
    box = find_box(mask[0])
    assert box is not None
    left, top, right, bottom = box
    assert (right - left) * (bottom - top) < size * size / 4
    made = render_crops(ProcessorRenderer(generator), pictures)
    inputs = generator.gather(pictures.to(CPU))[..., top:bottom, left:right]
    window, _, weights = generator(inputs, torch.tensor([box]) / size)
    part = np.s_[0, top:bottom, left:right]
    expected = window[0].clamp(0, 1).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(made.picture[part], expected, atol=5e-5)
    assert made.passed is not None
    np.testing.assert_allclose(made.passed[part], weights[0, 0].numpy(), atol=5e-5)
    beyond = np.ones((size, size), bool)
    beyond[top:bottom, left:right] = False
    footage = pictures.real[0].astype(np.float32) / 255
    np.testing.assert_allclose(made.picture[0][beyond], footage[beyond], atol=1e-6)
    assert np.abs(made.picture[0] - footage)[~beyond].mean() > 0.05
    assert not made.passed[0][beyond].any()


def test_pictures_do_not_depend_on_their_batch() -> None:
    mask = np.concatenate([masks((4, 4, 20, 20), batch=1), masks((0, 30, 64, 60), batch=1)])
    drawer, pictures = ProcessorRenderer(lively()), crops(mask)
    together = drawer.draw_crops(pictures)
    for n in range(2):
        alone = drawer.draw_crops(pictures.take(slice(n, n + 1)))
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_array_equal(one[n], other[0])


def test_where_nothing_is_to_be_generated_the_footage_stays() -> None:
    pictures = crops(np.zeros((2, SIZE, SIZE), np.uint8))
    made, passed = ProcessorRenderer(lively()).draw_crops(pictures)
    np.testing.assert_allclose(made, pictures.real / 255.0, atol=1e-6)
    assert not passed.any()
    assert find_box(pictures.mask[0]) is None


def test_sides_that_cannot_be_halved_are_refused() -> None:
    with pytest.raises(ShapeError, match="40x40"):
        ProcessorRenderer(lively()).draw_crops(crops(masks((8, 8, 30, 30), 40)))


@pytest.mark.parametrize("box", [(40, 50, 130, 120), (0, 0, 16, 16), (200, 10, 256, 256)])
def test_the_box_holds_the_mask_and_what_colours_are_compared_in(
    box: tuple[int, int, int, int],
) -> None:
    mask = masks(box, 256, 1)[0]
    found = find_box(mask)
    assert found is not None
    assert all(edge % GRID_PX == 0 for edge in found)
    left, top, right, bottom = found
    ring = cv2.dilate(mask, np.ones((2 * 10 + 1,) * 2, np.uint8))  # 256 // 24, as it is blended
    assert ring[top:bottom, left:right].sum(dtype=int) == ring.sum(dtype=int)
    tight = [box[0] - left, box[1] - top, right - box[2], bottom - box[3]]
    assert max(tight) < 10 + 2 * GRID_PX


def test_only_our_generator_is_drawn_so_and_only_on_the_processor() -> None:
    generator = build_generator(TINY)
    fast = prepare_for_rendering(generator, CPU)
    assert isinstance(fast, ProcessorRenderer)
    assert fast.generator is not generator
    assert not any(part.requires_grad for part in fast.parameters())
    plain = prepare_for_rendering(Pix2PixGenerator(4), CPU)
    assert isinstance(plain, Pix2PixGenerator)


def test_tensors_are_drawn_as_by_the_generator_itself() -> None:
    generator, tensors = lively(), crops(HOLED).to(CPU)
    drawn, expected = ProcessorRenderer(generator).draw(tensors), generator.draw(tensors)
    torch.testing.assert_close(drawn.picture, expected.picture)
