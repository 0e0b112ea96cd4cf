"""Reading at the clip's own depth: every stored sample, however it is packed and turned."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media_clips import make_clip, numbered_picture, read_number
from media_planes import fill_frame, reference_rgb, spread, write_frames

from metatalk.media.colour import ColourTags
from metatalk.media.native import turn_upright
from metatalk.media.ordered import read_pictures_in_order
from metatalk.media.picture import Picture, Subsampling
from metatalk.media.planes import PictureMaker
from metatalk.media.video import index_frames, read_pictures

WIDTH, HEIGHT = 46, 30
X265_LOSSLESS = {"x265-params": "lossless=1:log-level=none"}
# container, encoder and options, pixel format, its bits, the sampling it is stored in and read in
PLANAR = [
    ("a.mkv", "ffv1", {}, "yuv420p", 8, (1, 1), (1, 1)),
    ("a.mkv", "ffv1", {}, "yuv422p", 8, (1, 0), (1, 0)),
    ("a.mkv", "ffv1", {}, "yuv444p", 8, (0, 0), (0, 0)),
    ("a.mkv", "ffv1", {}, "yuv420p9le", 9, (1, 1), (1, 1)),
    ("a.mkv", "ffv1", {}, "yuv420p10le", 10, (1, 1), (1, 1)),
    ("a.mkv", "ffv1", {}, "yuv422p10le", 10, (1, 0), (1, 0)),
    ("a.mkv", "ffv1", {}, "yuv444p10le", 10, (0, 0), (0, 0)),
    ("a.mkv", "ffv1", {}, "yuv422p12le", 12, (1, 0), (1, 0)),
    ("a.mkv", "ffv1", {}, "yuv420p16le", 16, (1, 1), (1, 1)),
    ("a.mkv", "ffv1", {}, "yuv444p16le", 16, (0, 0), (0, 0)),
    ("a.nut", "rawvideo", {}, "yuv411p", 8, (2, 0), (1, 0)),
    ("a.nut", "rawvideo", {}, "yuv410p", 8, (2, 2), (1, 1)),
    ("a.mkv", "ffv1", {}, "yuv440p10le", 10, (0, 1), (0, 0)),
    ("a.nut", "rawvideo", {}, "yuv420p10be", 10, (1, 1), (1, 1)),
    ("a.mkv", "libx265", X265_LOSSLESS, "yuv420p10le", 10, (1, 1), (1, 1)),
    ("a.mkv", "libx265", X265_LOSSLESS, "yuv422p12le", 12, (1, 0), (1, 0)),
    ("a.mkv", "libx264", {"qp": "0"}, "yuv422p10le", 10, (1, 0), (1, 0)),
    ("a.mkv", "libx264", {"qp": "0"}, "yuv444p", 8, (0, 0), (0, 0)),
]  # fmt: skip


def random_planes(bits: int, stored: Subsampling, seed: int = 0) -> list[np.ndarray]:
    """Planes that use every level there is."""
    generator = np.random.default_rng(seed)
    kind = np.uint8 if bits == 8 else np.uint16
    chroma = -(-HEIGHT >> stored[1]), -(-WIDTH >> stored[0])
    return [
        generator.integers(0, 1 << bits, size, dtype=kind)
        for size in ((HEIGHT, WIDTH), chroma, chroma)
    ]


def replicated(plane: np.ndarray, stored: Subsampling, read: Subsampling) -> np.ndarray:
    """A chroma plane in a finer sampling."""
    finer = plane.repeat(1 << stored[1] - read[1], 0).repeat(1 << stored[0] - read[0], 1)
    return finer[: -(-HEIGHT >> read[1]), : -(-WIDTH >> read[0])]


def as_frame(name: str, planes: list[np.ndarray]) -> av.VideoFrame:
    if name.endswith("be"):
        planes = [plane.astype(plane.dtype.newbyteorder(">")) for plane in planes]
    return fill_frame(name, WIDTH, HEIGHT, planes)


def read_one(frame: av.VideoFrame, native: bool = True) -> Picture:
    return PictureMaker("clip", native).make(frame, 0, 0)


@pytest.mark.parametrize(
    ("file", "codec", "options", "name", "bits", "stored", "read"), PLANAR,
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_every_sample_of_a_file_is_kept(
    tmp_path: Path, file: str, codec: str, options: dict[str, str], name: str, bits: int,
    stored: Subsampling, read: Subsampling,
) -> None:  # fmt: skip
    shots = [random_planes(bits, stored, seed) for seed in range(2)]
    clip = write_frames(
        tmp_path / file, codec, [as_frame(name, shot) for shot in shots], options=options
    )
    pictures = list(read_pictures(clip, native=True))
    assert len(pictures) == 2
    for picture, (luma, *chroma) in zip(pictures, shots, strict=True):
        assert (picture.bits, picture.shift) == (bits, read)
        assert np.array_equal(picture.planes[0], luma)
        for plane, samples in zip(picture.planes[1:], chroma, strict=True):
            assert np.array_equal(plane, replicated(samples, stored, read))


@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10le", "yuv444p16le", "yuv422p"])
def test_planes_are_those_of_pyav(tmp_path: Path, name: str) -> None:
    clip = make_clip(tmp_path / "a.mkv", 2, codec="ffv1", pixel_format=name)
    with av.open(str(clip)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(video=0)]
    for picture, stored in zip(read_pictures(clip, native=True), frames, strict=True):
        if stored.ndim == 3:  # all of one size, one behind another
            assert np.array_equal(np.stack(picture.planes, -1), stored)
        else:
            flat = np.concatenate([plane.reshape(-1) for plane in picture.planes])
            assert np.array_equal(flat, stored.reshape(-1))


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "shift"),
    [
        ("prores.mov", "prores_ks", "yuv422p10le", (1, 0)),
        ("prores4444.mov", "prores_ks", "yuva444p10le", (0, 0)),  # decoded to 12 bits
        ("hevc.mp4", "libx265", "yuv420p10le", (1, 1)),
        ("jpeg.avi", "mjpeg", "yuvj422p", (1, 0)),
        ("av1.mkv", "libsvtav1", "yuv420p10le", (1, 1)),
    ],
)
def test_delivered_files_are_kept_as_they_decode(
    tmp_path: Path, name: str, codec: str, pixel_format: str, shift: Subsampling
) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    clip = make_clip(tmp_path / name, 4, codec=codec, pixel_format=pixel_format, options=options)
    with av.open(str(clip)) as container:
        frames = list(container.decode(video=0))
    for picture, frame in zip(read_pictures(clip, native=True), frames, strict=True):
        bits = frame.format.components[0].bits
        assert bits == (8 if codec == "mjpeg" else 12 if "a444" in pixel_format else 10)
        assert (picture.bits, picture.shift) == (bits, shift)
        assert read_number(as_bytes(picture)) == picture.index
        for plane, stored in zip(picture.planes, frame.planes, strict=False):  # alpha behind them
            rows = np.frombuffer(memoryview(stored), plane.dtype).reshape(stored.height, -1)
            assert np.array_equal(plane, rows[:, : stored.width])


def as_bytes(picture: Picture) -> Picture:
    """The picture's luma in 8 bits, for `read_number`."""
    luma = (picture.planes[0] >> (picture.bits - 8)).astype(np.uint8)
    return Picture(picture.index, 0, (luma, luma, luma), picture.colour)


def pairs(planes: list[np.ndarray]) -> np.ndarray:
    """u and v, sample by sample in turn."""
    return np.stack(planes[1:], -1).reshape(len(planes[1]), -1)


def words(planes: list[np.ndarray]) -> np.ndarray:
    """y, u, y, v of 4:2:2, in turn."""
    luma, u, v = planes
    return np.stack([luma[:, ::2], u, luma[:, 1::2], v], -1).reshape(len(luma), -1)


@pytest.mark.parametrize(
    ("name", "bits", "shift", "pack"),
    [
        ("nv12", 8, (1, 1), lambda p: [p[0], pairs(p)]),
        ("nv21", 8, (1, 1), lambda p: [p[0], pairs([p[0], p[2], p[1]])]),
        ("nv16", 8, (1, 0), lambda p: [p[0], pairs(p)]),
        ("nv24", 8, (0, 0), lambda p: [p[0], pairs(p)]),
        ("p010le", 10, (1, 1), lambda p: [p[0] << 6, pairs(p) << 6]),
        ("p012le", 12, (1, 1), lambda p: [p[0] << 4, pairs(p) << 4]),
        ("p016le", 16, (1, 1), lambda p: [p[0], pairs(p)]),
        ("p210le", 10, (1, 0), lambda p: [p[0] << 6, pairs(p) << 6]),
        ("p410le", 10, (0, 0), lambda p: [p[0] << 6, pairs(p) << 6]),
        ("yuyv422", 8, (1, 0), lambda p: [words(p)]),
        ("y210le", 10, (1, 0), lambda p: [words(p) << 6]),
    ],
)
@pytest.mark.parametrize("full_range", [False, True])
def test_packed_samples_are_unpacked_exactly(
    name: str, bits: int, shift: Subsampling, pack, full_range: bool
) -> None:
    planes = random_planes(bits, shift)
    frame = fill_frame(name, WIDTH, HEIGHT, pack(planes))
    frame.color_range = 2 if full_range else 1
    picture = read_one(frame)
    assert (picture.bits, picture.shift) == (bits, shift)
    for plane, samples in zip(picture.planes, planes, strict=True):
        assert np.array_equal(plane, samples)


def test_packed_files_are_unpacked(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.nut", 3, codec="rawvideo", pixel_format="nv12")
    for picture in read_pictures(clip, native=True):
        drawn = av.VideoFrame.from_ndarray(numbered_picture(picture.index), "rgb24")
        stored = drawn.reformat(format="nv12").to_ndarray()
        luma, u, v = picture.planes
        assert np.array_equal(np.concatenate([luma, pairs([luma, u, v])]), stored)


@pytest.mark.parametrize(
    ("name", "source_bits", "bits"),
    [("gbrp", 8, 10), ("gbrp10le", 10, 12), ("gbrp12le", 12, 14), ("gbrp14le", 14, 16)],
)
@pytest.mark.parametrize("lines", [30, 720])
def test_rgb_comes_back_within_half_a_level(
    name: str, source_bits: int, bits: int, lines: int
) -> None:
    kind = np.uint8 if source_bits == 8 else np.uint16
    levels = np.random.default_rng(0).integers(0, 1 << source_bits, (3, lines, 40), dtype=kind)
    levels[:, 0, :2] = [[0, -1 + (1 << source_bits)]] * 3
    red, green, blue = levels
    picture = read_one(fill_frame(name, 40, lines, [green, blue, red]))
    assert (picture.bits, picture.shift) == (bits, (0, 0))
    assert picture.colour == ColourTags(2, 2, 6 if lines < 720 else 1, False)
    most = (1 << source_bits) - 1
    error = picture.rgb_float() * most - np.stack([red, green, blue], -1)
    assert np.abs(error).max() < 0.5


@pytest.mark.parametrize("name", ["rgb24", "bgr0", "bgra", "pal8", "rgb48le", "x2rgb10le"])
def test_packed_rgb_is_that_of_its_planes(name: str) -> None:
    drawn = av.VideoFrame.from_ndarray(numbered_picture(5), "rgb24")
    if name == "pal8":
        colours = np.array([[0, 30, 60, 90], [255, 200, 100, 10]], np.uint8)
        palette = np.concatenate([colours, np.zeros((254, 4), np.uint8)])
        palette[:, 0] = 255
        numbers = (numbered_picture(5)[..., 0] > 100).astype(np.uint8)
        picture = read_one(av.VideoFrame.from_ndarray((numbers, palette), "pal8"))
        expected = colours[numbers][..., 1:]
    else:
        picture = read_one(drawn.reformat(format=name))
        expected = numbered_picture(5)
    assert picture.shift == (0, 0)
    error = np.abs(picture.rgb().astype(int) - expected).max()
    assert error <= (1 if name == "rgb48le" else 0)  # FFmpeg shifts bytes to words, 220 to 56320


@pytest.mark.parametrize(("name", "bits"), [("gray", 8), ("gray10le", 10), ("gray16le", 16)])
def test_grey_keeps_its_levels(name: str, bits: int) -> None:
    luma = random_planes(bits, (0, 0))[0]
    unstated = read_one(fill_frame(name, WIDTH, HEIGHT, [luma]))
    most = (1 << bits) - 1
    assert unstated.shift == (1, 1)
    slack = 0.5 if bits < 16 else 0.7  # there are no more than 16 bits
    assert np.abs(unstated.rgb_float()[..., 1] * most - luma).max() < slack
    for stated in (1, 2):
        frame = fill_frame(name, WIDTH, HEIGHT, [luma])
        frame.color_range = stated
        picture = read_one(frame)
        assert (picture.bits, picture.colour.full_range) == (bits, stated == 2)
        assert np.array_equal(picture.planes[0], luma)
        assert np.all(picture.planes[1] == 1 << (bits - 1))


@pytest.mark.parametrize(
    "name",
    ["yuv422p10le", "yuv444p", "yuv420p12le", "p010le", "gbrp10le", "bgra", "gray", "yuyv422"],
)
def test_native_and_reduced_pictures_have_the_same_colours(name: str) -> None:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    rgb = np.stack([70 + 2 * columns, 60 + 3 * rows, 90 + rows + columns], -1).astype(np.uint8)
    # One thread: with more, FFmpeg reads rows that it has not yet written.
    frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format=name, threads=1)
    native, reduced = read_one(frame), read_one(frame, native=False)
    assert (reduced.bits, reduced.shift) == (8, (1, 1))
    assert np.abs(native.rgb().astype(int) - reduced.rgb()).max() <= 6  # a slope's chroma, halved


def test_transparency_is_dropped_and_said_once(caplog: pytest.LogCaptureFixture, tmp_path) -> None:
    clip = make_clip(tmp_path / "a.mkv", 3, codec="ffv1", pixel_format="yuva444p10le")
    with caplog.at_level(logging.WARNING, "metatalk"):
        for _ in range(2):
            assert len(list(read_pictures(clip, native=True))) == 3
    assert caplog.text.count("transparency (yuva444p10le) is dropped") == 1


def test_a_high_dynamic_range_is_kept_by_level(tmp_path: Path) -> None:
    ramp = np.linspace(64, 940, WIDTH).astype(np.uint16)[None].repeat(HEIGHT, 0)
    chroma = np.full((HEIGHT // 2, WIDTH // 2), 530, np.uint16)
    frames = [as_frame("yuv420p10le", [ramp, chroma, chroma])]
    tags = (9, 16, 9, 1)  # BT.2020, PQ, its matrix, limited
    clip = write_frames(tmp_path / "a.mkv", "libx265", frames, (), tags, X265_LOSSLESS)
    picture = next(read_pictures(clip, native=True))
    assert picture.colour == ColourTags(9, 16, 9, False)
    assert np.array_equal(picture.planes[0], ramp)
    assert np.array_equal(picture.planes[1], chroma)
    # What a detector sees are the codes, not tone-mapped.
    assert np.abs(picture.rgb() - 255 * reference_rgb(picture)).max() <= 0.51


TURNS = [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1), (0, 1, 1, 0)]


@pytest.mark.parametrize("display", TURNS)
@pytest.mark.parametrize(
    ("name", "bits", "shift"),
    [("yuv420p10le", 10, (1, 1)), ("yuv422p10le", 10, (1, 0)), ("yuv444p10le", 10, (0, 0))],
)
def test_turning_moves_samples_and_changes_none(
    tmp_path: Path, name: str, bits: int, shift: Subsampling, display: tuple[int, int, int, int]
) -> None:
    planes = random_planes(bits, shift)
    frames = [as_frame(name, planes)]
    clip = write_frames(tmp_path / "a.mov", "libx264", frames, display, options={"qp": "0"})
    picture = next(read_pictures(clip, native=True))
    sideways = display[0] == 0
    assert picture.shift == ((0, 0) if sideways and shift == (1, 0) else shift)
    stored = Picture(0, 0, (planes[0], planes[1], planes[2]), ColourTags(), bits)
    for plane, samples in zip(picture.planes, planes, strict=True):
        full, upright = spread(samples, stored), spread(plane, picture)
        if samples is planes[0]:
            full, upright = samples, plane
        assert np.array_equal(shown(full, *display), upright)


def shown(plane: np.ndarray, a: int, b: int, c: int, d: int) -> np.ndarray:
    """A plane of pixels shown by a display matrix (ISO/IEC 14496-12, 8.3.2)."""
    rows, columns = np.mgrid[0 : plane.shape[0], 0 : plane.shape[1]]
    x, y = a * columns + c * rows, b * columns + d * rows
    out = np.zeros((np.ptp(y) + 1, np.ptp(x) + 1), plane.dtype)
    out[y - y.min(), x - x.min()] = plane
    return out


def test_turning_twice_is_none() -> None:
    plane = np.arange(12, dtype=np.uint16).reshape(3, 4)
    for turns in range(4):
        assert np.array_equal(
            turn_upright(turn_upright(plane, turns, False), -turns % 4, False), plane
        )
    assert np.array_equal(turn_upright(plane, 0, True), plane[:, ::-1])


@pytest.mark.parametrize("size", [(45, 30), (46, 29), (45, 29)])
@pytest.mark.parametrize("name", ["yuv420p10le", "yuv422p10le", "nv12", "yuv411p"])
def test_odd_sizes(name: str, size: tuple[int, int]) -> None:
    width, height = size
    drawn = av.VideoFrame.from_ndarray(numbered_picture(3, height, width), "rgb24")
    picture = read_one(drawn.reformat(format=name))
    assert (picture.width, picture.height) == size
    across, down = picture.shift
    assert picture.planes[1].shape == (-(-height >> down), -(-width >> across))


def test_a_stream_that_changes_midway_keeps_its_first_kind() -> None:
    maker = PictureMaker("clip", native=True)
    first = maker.make(as_frame("yuv422p10le", random_planes(10, (1, 0))), 0, 0)
    drawn = av.VideoFrame.from_ndarray(numbered_picture(3, 64, 96), "rgb24")
    for name in ("yuv420p", "yuv422p10le", "gbrp"):
        later = maker.make(drawn.reformat(format=name), 1, 1)
        assert (later.bits, later.shift) == (first.bits, first.shift) == (10, (1, 0))
        assert (later.width, later.height) == (WIDTH, HEIGHT)
        expected = drawn.reformat(WIDTH, HEIGHT, "rgb24").to_ndarray()
        assert np.abs(later.rgb().astype(int) - expected).mean() < 6


def test_any_order_gives_the_native_pictures_too(tmp_path: Path) -> None:
    clip = make_clip(
        tmp_path / "a.mp4", 24, codec="libx265", pixel_format="yuv420p10le",
        options={"x265-params": "keyint=8:log-level=none"}, rate=Fraction(25),
    )  # fmt: skip
    index, there = index_frames(clip), list(read_pictures(clip, native=True))
    order = [*range(23, -1, -3), 5, 5, 6]
    found = read_pictures_in_order(clip, order, index, 6 * there[0].nbytes, native=True)
    for t, picture in zip(order, found, strict=True):
        assert (picture.index, picture.bits) == (t, 10)
        for plane, expected in zip(picture.planes, there[t].planes, strict=True):
            assert np.array_equal(plane, expected)


def test_8_bit_420_is_read_alike_either_way(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", 5)
    for plain, native in zip(read_pictures(clip), read_pictures(clip, native=True), strict=True):
        assert (native.bits, native.shift) == (8, (1, 1))
        for plane, expected in zip(native.planes, plain.planes, strict=True):
            assert np.array_equal(plane, expected)
