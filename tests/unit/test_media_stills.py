"""Pictures that come back from their files as they went in."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from pymediainfo import MediaInfo

from metatalk import __version__
from metatalk.errors import ShapeError
from metatalk.media.stills import StillFolder, exr_timecode, write_exr, write_png, write_tiff


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    most = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, most + 1, shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(7, 5), (7, 5, 3)], ids=["grey", "rgb"])
def test_png_keeps_every_bit_and_the_order_of_colours(tmp_path: Path, dtype, shape):
    picture = noise(*shape, dtype=dtype)
    write_png(tmp_path / "a.png", picture)
    read = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read[..., ::-1] if picture.ndim == 3 else read, picture)
    assert read.dtype == dtype


def test_png_refuses_other_numbers(tmp_path: Path):
    with pytest.raises(ShapeError, match="float32"):
        write_png(tmp_path / "a.png", np.zeros((2, 2), np.float32))


def test_exr_keeps_names_and_every_number(tmp_path: Path):
    openexr = pytest.importorskip("OpenEXR")
    chance = np.random.default_rng(1)
    channels = {
        "Z": (2000 * chance.random((6, 9))).astype(np.float32),
        "A": chance.integers(0, 2, (6, 9)).astype(np.float32),
        "R": chance.standard_normal((12, 9)).astype(np.float32)[::2],  # not contiguous
    }
    write_exr(tmp_path / "a.exr", channels)
    with openexr.File(str(tmp_path / "a.exr"), separate_channels=True) as file:
        read = file.channels()
        assert "synthetic" in file.header()["comments"]
        for name, values in channels.items():
            np.testing.assert_array_equal(read[name].pixels, values)
            assert read[name].pixels.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(7, 5), (7, 5, 3), (40, 33, 4), (400, 33, 3)])
@pytest.mark.parametrize("comment", ["synthetic: a mouth", "odd", "four", "", "Müller"])
def test_a_tiff_keeps_every_bit_and_says_what_it_is(tmp_path: Path, dtype, shape, comment):
    """As two other programs read it; text of up to three letters lies in the directory itself."""
    picture, path = noise(*shape, dtype=dtype), tmp_path / "a.tiff"
    write_tiff(path, picture, comment)
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(shape[-1] if len(shape) == 3 else 0)
    read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read[..., order] if order else read, picture)
    assert read.dtype == dtype
    general, image = (track.to_data() for track in MediaInfo.parse(str(path)).tracks)
    assert (image["width"], image["height"]) == (shape[1], shape[0])
    assert image.get("title", "") == comment.replace("ü", "?")
    assert general["writing_application"] == f"metatalk {__version__}"
    content = path.read_bytes()
    (first,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, first)
    tags = [struct.unpack_from("<H", content, first + 2 + 12 * k)[0] for k in range(count)]
    assert tags == sorted(set(tags))
    assert first % 2 == 0
    assert len(content) == first + 2 + 12 * count + 4


@pytest.mark.parametrize(
    ("rate", "is_counted"),
    [
        (Fraction(25), True),
        (Fraction(30003, 1000), True),  # measured: its frames are counted to 30
        (Fraction(50), False),
    ],
)
def test_an_exr_has_the_time_code_that_can_be_counted(rate: Fraction, is_counted: bool) -> None:
    pytest.importorskip("OpenEXR")
    told = exr_timecode("01:02:03:24", rate)
    assert told["footageTimecode"] == "01:02:03:24"
    assert ("timeCode" in told) == is_counted


def mark_of(path: Path) -> str:
    """What another program reads of it."""
    if path.suffix == ".exr":
        openexr = pytest.importorskip("OpenEXR")
        with openexr.File(str(path)) as file:
            return str(file.header()["comments"])
    if path.suffix == ".tiff":
        return str(MediaInfo.parse(str(path)).image_tracks[0].title)
    return path.read_bytes().partition(b"tEXtComment\0")[2].decode("latin-1")


@pytest.mark.parametrize("ending", ["png", "tiff", "exr"])
def test_every_still_is_marked_unless_it_is_told_what_to_say(tmp_path: Path, ending: str):
    picture = {"Z": np.ones((3, 4))} if ending == "exr" else noise(3, 4, 3)
    with StillFolder(tmp_path, ending) as folder:
        folder.write("drawn", 0, picture)
    assert mark_of(tmp_path / f"drawn.000000.{ending}").startswith("synthetic: drawn with metatalk")


def test_exr_refuses_channels_of_two_sizes(tmp_path: Path):
    with pytest.raises(ShapeError, match="channel B"):
        write_exr(tmp_path / "a.exr", {"A": np.zeros((2, 2)), "B": np.zeros((2, 3))})
    assert not (tmp_path / "a.exr").exists()


def test_a_place_that_refuses_is_an_os_error(tmp_path: Path):
    for write, value in ((write_png, noise(2, 2)), (write_exr, {"A": np.zeros((2, 2))})):
        with pytest.raises(OSError, match="No such file"):
            write(tmp_path / "missing" / "a", value)


def test_a_folder_gets_all_of_its_pictures_at_the_end(tmp_path: Path):
    with StillFolder(tmp_path / "out", "png") as folder:
        for number in (0, 7):
            folder.write("depth", number, noise(3, 4))
        assert not list((tmp_path / "out").glob("*.png"))
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["depth.000000.png", "depth.000007.png"]


def test_after_an_error_there_is_what_was_before(tmp_path: Path):
    def fail(folder: Path) -> None:
        with StillFolder(folder, "png") as stills:
            stills.write("depth", 0, noise(3, 4))
            raise RuntimeError

    def fail_quietly(folder: Path) -> None:
        with pytest.raises(RuntimeError):
            fail(folder)

    fail_quietly(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    old = tmp_path / "old"
    with StillFolder(old, "png") as stills:
        stills.write("depth", 0, np.zeros((2, 2), np.uint8))
    before = (old / "depth.000000.png").read_bytes()
    fail_quietly(old)
    assert [path.name for path in old.iterdir()] == ["depth.000000.png"]
    assert (old / "depth.000000.png").read_bytes() == before


def test_what_a_killed_run_left_is_swept_away(tmp_path: Path):
    (tmp_path / ".partial").mkdir()
    (tmp_path / ".partial" / "uv.000009.png").write_bytes(b"half")
    with StillFolder(tmp_path, "png") as stills:
        stills.write("uv", 1, noise(3, 4))
    assert [path.name for path in tmp_path.iterdir()] == ["uv.000001.png"]
