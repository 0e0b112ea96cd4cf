"""Pictures as an encoder takes them: the very samples, named rightly, with their tags."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from media_planes import KINDS, random_picture, write_frames

from metatalk.errors import MediaError
from metatalk.media.colour import ColourTags
from metatalk.media.frames import picture_to_frame, pixel_format
from metatalk.media.picture import Subsampling
from metatalk.media.video import read_pictures


@pytest.mark.parametrize(("bits", "shift"), KINDS)
@pytest.mark.parametrize("size", [(64, 96), (33, 47)])
def test_a_picture_is_written_and_read_bit_by_bit(
    tmp_path: Path, bits: int, shift: Subsampling, size: tuple[int, int]
) -> None:
    pictures = [random_picture(*size, None, seed, bits, shift) for seed in range(3)]
    clip = tmp_path / "a.mkv"
    write_frames(clip, "ffv1", [picture_to_frame(picture) for picture in pictures])
    for number, (result, picture) in enumerate(
        zip(read_pictures(clip, native=True), pictures, strict=True)
    ):
        assert (result.index, result.bits, result.shift) == (number, bits, shift)
        for new, old in zip(result.planes, picture.planes, strict=True):
            assert np.array_equal(new, old)


@pytest.mark.parametrize(
    ("bits", "shift", "name"),
    [
        (8, (1, 1), "yuv420p"),
        (10, (1, 0), "yuv422p10le"),
        (12, (0, 0), "yuv444p12le"),
        (16, (1, 1), "yuv420p16le"),
    ],
)
def test_the_pixel_format_says_depth_and_sampling(bits: int, shift: Subsampling, name: str) -> None:
    picture = random_picture(8, 8, bits=bits, shift=shift)
    assert pixel_format(picture) == picture_to_frame(picture).format.name == name


def test_samples_lie_as_pyav_reads_them() -> None:
    picture = random_picture(64, 96, bits=10)
    frame = picture_to_frame(picture)
    stored = np.concatenate([plane.reshape(-1) for plane in picture.planes])
    assert np.array_equal(frame.to_ndarray().reshape(-1), stored)


@pytest.mark.parametrize("full_range", [False, True])
def test_tags_go_along(full_range: bool) -> None:
    frame = picture_to_frame(random_picture(8, 8, ColourTags(9, 16, 9, full_range), bits=10))
    assert (frame.color_primaries, frame.color_trc, frame.colorspace) == (9, 16, 9)
    assert frame.color_range == (av.video.reformatter.ColorRange.JPEG if full_range else 1)


def test_a_depth_without_a_format_is_refused() -> None:
    with pytest.raises(MediaError, match="no frame has 11 bits") as caught:
        picture_to_frame(random_picture(4, 4, bits=11))
    assert "12" in caught.value.remedy
