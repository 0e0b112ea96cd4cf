"""What networks look at: neighbours in time, and pictures on their way to a device."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from neural_toys import CPU, bar_mouth
from torch import nn

from metatalk.errors import ShapeError
from metatalk.neural.infer import render_crops
from metatalk.neural.pictures import (
    CropPictures,
    CropRenderer,
    Drawn,
    PictureTensors,
    neighbour_rows,
    read_pictures,
)


class Newest(nn.Module):
    """Renders the frame that comes last of those it looks at."""

    temporal_reach = 2

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def draw(self, pictures: PictureTensors) -> Drawn:
        assert pictures.neighbours is not None
        return Drawn(pictures.neighbours[:, -1] * self.weight)


class Teller(Newest):
    """Renders the footage, and says of each pixel how far it is trusted."""

    temporal_reach = 0

    def draw(self, pictures: PictureTensors) -> Drawn:
        assert pictures.filmed is not None
        return Drawn(pictures.real * self.weight, pictures.filmed[:, 3:])


def test_neighbours_are_the_frames_around() -> None:
    near = neighbour_rows(bar_mouth(), np.array([5, 20]), 3)
    assert near.tolist() == [[2, 3, 4, 5, 6, 7, 8], [17, 18, 19, 20, 21, 22, 23]]


def test_neighbours_repeat_the_first_and_the_last_frame() -> None:
    near = neighbour_rows(bar_mouth(10), np.array([0, 8]), 3)
    assert near.tolist() == [[0, 0, 0, 0, 1, 2, 3], [5, 6, 7, 8, 9, 9, 9]]


def test_neighbours_never_lie_beyond_a_cut() -> None:
    crops = replace(bar_mouth(10), shots=np.array([[0, 4], [4, 10]]))
    near = neighbour_rows(crops, np.array([3, 4]), 2)
    assert near.tolist() == [[1, 2, 3, 3, 3], [4, 4, 4, 5, 6]]


def test_frames_that_were_not_kept_are_stood_in_for_by_the_nearest() -> None:
    frames = np.array([0, 1, 2, 10, 12, 14, 16])
    crops = replace(bar_mouth(7), frames=frames, shots=np.array([[0, 12], [12, 30]]))
    # after frame 2 comes frame 10: 3 and 4 are nearer to 2; of every other frame, the one nearer
    # to the middle stands in
    near = neighbour_rows(crops, np.array([2, 3, 5]), 2)
    assert near.tolist() == [[0, 1, 2, 2, 2], [3, 3, 3, 3, 3], [4, 5, 5, 5, 6]]


def test_pictures_are_read_with_their_neighbours() -> None:
    crops = bar_mouth(10)
    assert read_pictures(crops, np.array([3])).neighbours is None
    stack = read_pictures(crops, np.array([0, 9]), 1).neighbours
    assert stack is not None
    np.testing.assert_array_equal(stack, crops.synthetic[[[0, 0, 1], [8, 9, 9]]])


def test_pictures_keep_their_axes_on_the_way_to_a_device() -> None:
    random = np.random.default_rng(0)
    stack = random.integers(0, 256, (2, 3, 16, 16, 3), np.uint8)
    texture = random.integers(0, 256, (2, 16, 16, 4), np.uint8)
    stored = CropPictures(
        stack[:, 1], stack[:, 0], stack[:, 0, ..., 0], stack, stack[:, 2], texture, 255 - texture
    )
    tensors = stored.take(slice(1, 2)).to(CPU)
    as_planes = lambda picture: torch.from_numpy(picture).permute(2, 0, 1)[None] / 255  # noqa: E731
    wanted = {
        "synthetic": stack[1, 1],
        "real": stack[1, 0],
        "mask": stack[1, 0, ..., :1],
        "geometry": stack[1, 2],
        "filmed": texture[1],
        "matched": 255 - texture[1],
    }
    for name, picture in wanted.items():
        torch.testing.assert_close(getattr(tensors, name), as_planes(picture), msg=name)
    assert tensors.neighbours is not None
    torch.testing.assert_close(tensors.neighbours[:, 2], as_planes(stack[1, 2]))
    plain = read_pictures(bar_mouth(4), np.arange(2)).take(slice(0, 1)).to(CPU)
    assert plain.geometry is plain.filmed is plain.matched is plain.neighbours is None


def test_pictures_must_agree() -> None:
    crops = bar_mouth(4)
    plain = CropPictures(crops.synthetic, crops.real, crops.mask)
    for name in ("neighbours", "filmed", "matched"):
        with pytest.raises(ShapeError, match=name):
            replace(plain, **{name: crops.synthetic})
    with pytest.raises(ShapeError, match="geometry"):
        replace(plain, geometry=crops.mask)


def test_without_neighbours_the_pictures_are_consecutive_frames() -> None:
    crops = bar_mouth(5)
    made = render_crops(Newest(), read_pictures(crops, np.arange(5)), batch=2)
    np.testing.assert_allclose(made.picture, crops.synthetic[[2, 3, 4, 4, 4]] / 255.0, atol=1e-6)
    assert made.passed is None  # it does not say


def test_given_neighbours_are_those_looked_at() -> None:
    crops = bar_mouth(20)
    made = render_crops(Newest(), read_pictures(crops, np.array([3, 11]), 2))
    np.testing.assert_allclose(made.picture, crops.synthetic[[5, 13]] / 255.0, atol=1e-6)


def test_what_is_let_through_is_told_frame_by_frame() -> None:
    crops, random = bar_mouth(5), np.random.default_rng(0)
    filmed = random.integers(0, 256, (5, 32, 32, 4), np.uint8)
    pictures = replace(read_pictures(crops, np.arange(5)), filmed=filmed)
    made = render_crops(Teller(), pictures, batch=2)
    assert made.passed is not None
    np.testing.assert_allclose(made.passed, filmed[..., 3] / 255.0, atol=1e-6)
    np.testing.assert_allclose(made.picture, crops.real / 255.0, atol=1e-6)


def test_a_network_that_cannot_draw_is_refused() -> None:
    stranger = nn.Conv2d(3, 3, 1)
    assert not isinstance(stranger, CropRenderer)
    with pytest.raises(ShapeError, match="Conv2d"):
        render_crops(stranger, read_pictures(bar_mouth(2), np.arange(2)))
