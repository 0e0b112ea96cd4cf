"""The new mouth as a layer: laid over the footage it is the full result."""

from __future__ import annotations

import resource
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymediainfo import MediaInfo

from metatalk.errors import MediaError, ShapeError
from metatalk.media.colour import ColourTags
from metatalk.media.layer import Layer, PatchLayer, flatten, spread_colours
from metatalk.media.layer_writer import LayerWriter
from metatalk.media.picture import Picture
from metatalk.media.sequence import Film
from metatalk.media.ycc import ycc_factors

WIDTH, HEIGHT = 160, 112
BT709 = ColourTags(1, 1, 1)
TAGS = {"comment": "synthetic: a mouth", "timecode": "10:00:00:00"}
FILM = Film(WIDTH, HEIGHT, Fraction(25), Fraction(1, 25), BT709, metadata=TAGS)


def smooth(shape: tuple[int, ...], seed: int, blur: float = 1.5) -> np.ndarray:
    """Values in [0, 1] like a picture's: mostly smooth, with some grain."""
    chance = np.random.default_rng(seed)
    coarse = cv2.GaussianBlur(chance.random(shape, np.float32), (0, 0), 6)
    coarse = (coarse - coarse.min()) / (coarse.max() - coarse.min())
    grain = cv2.GaussianBlur(chance.standard_normal(shape).astype(np.float32), (0, 0), blur)
    return (0.1 + 0.8 * coarse + 0.05 * grain).clip(0, 1).astype(np.float32)


def oval(rows: int, columns: int, feather: float = 0.3) -> np.ndarray:
    """Alpha that is 1 within an oval and falls to 0 around it."""
    y, x = np.mgrid[0:rows, 0:columns]
    away = np.hypot((2 * y + 1) / rows - 1, (2 * x + 1) / columns - 1)
    return np.clip((1 - away) / feather, 0, 1).astype(np.float32)


def footage(seed: int = 0, colour: ColourTags = BT709) -> Picture:
    sizes = (HEIGHT, WIDTH), (HEIGHT // 2, WIDTH // 2), (HEIGHT // 2, WIDTH // 2)
    blank = Picture(0, 0, tuple(np.full(size, 128, np.uint8) for size in sizes), colour)
    whole = np.ones((HEIGHT, WIDTH), np.float32)
    return blank.with_patch(smooth((HEIGHT, WIDTH, 3), seed), whole, 0, 0)


PATCHES: list[PatchLayer] = [
    (smooth((60, 73, 3), 1), oval(60, 73), 37, 29),
    (smooth((30, 20, 3), 2), 0.7 * oval(30, 20), 50, 40),
    (smooth((40, 50, 3), 3), oval(40, 50), WIDTH - 30, -9),
]


def revoiced(picture: Picture, patches: list[PatchLayer]) -> Picture:
    for patch in patches:
        picture = picture.with_patch(*patch)
    return picture


def over(picture: Picture, rgb: np.ndarray, alpha: np.ndarray) -> list[np.ndarray]:
    """A readable compositor: 4:4:4 in floating point, chroma averaged back, rounded once."""
    factors = ycc_factors(picture.colour, picture.height, 8).astype(np.float64)
    layer = np.moveaxis(rgb @ factors[:, :3].T + factors[:, 3], -1, 0)
    return _composite(picture, layer, alpha)


def _composite(picture: Picture, layer: np.ndarray, alpha: np.ndarray) -> list[np.ndarray]:
    y, *chroma = (plane.astype(np.float64) for plane in picture.planes)
    made = [y + alpha * (layer[0] - y)]
    for old, new in zip(chroma, layer[1:], strict=True):
        wide = old.repeat(2, 0).repeat(2, 1)
        mixed = wide + alpha * (new - wide)
        made.append(mixed.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).mean((1, 3)))
    return [np.floor(plane + 0.5).clip(0, 255) for plane in made]


def differences(made: list[np.ndarray], result: Picture) -> np.ndarray:
    return np.concatenate([np.abs(a - b).ravel() for a, b in zip(made, result.planes, strict=True)])


def write(path: Path, frames: list[list[PatchLayer]], form: str, film: Film = FILM) -> Path:
    with LayerWriter(path, film, form, first_number=7) as writer:
        for number, patches in enumerate(frames):
            writer.write(patches, number)
    return path


def prores_layer(path: Path, number: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Luma and chroma in levels of 8 bits, and alpha, as FFmpeg decodes them."""
    with av.open(str(path)) as container:
        frame = list(container.decode(video=0))[number]
    assert frame.format.name == "yuva444p12le"
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), np.uint16).reshape(-1, plane.line_size // 2)
        planes.append(rows[: frame.height, : frame.width].astype(np.float64))
    return np.stack(planes[:3]) / 16, planes[3] / 4095


@pytest.mark.parametrize("patches", [PATCHES[:1], PATCHES], ids=["one", "three"])
def test_a_png_over_the_footage_is_the_result(tmp_path: Path, patches: list[PatchLayer]) -> None:
    folder = write(tmp_path / "mouth", [patches], "png")
    pixels = cv2.imread(str(folder / "mouth.000007.png"), cv2.IMREAD_UNCHANGED)
    assert pixels.dtype == np.uint16
    pixels = pixels[..., [2, 1, 0, 3]] / 65535
    picture = footage()
    wrong = differences(over(picture, pixels[..., :3], pixels[..., 3]), revoiced(picture, patches))
    assert wrong.max() <= 1
    # one patch is rounded once here and there; several are rounded one after another there
    assert (wrong > 0).mean() < (0.001 if len(patches) == 1 else 0.05)


@pytest.mark.parametrize("patches", [PATCHES[:1], PATCHES], ids=["one", "three"])
def test_an_exr_over_the_footage_is_the_result(tmp_path: Path, patches: list[PatchLayer]) -> None:
    openexr = pytest.importorskip("OpenEXR")
    folder = write(tmp_path / "mouth", [patches], "exr")
    with openexr.File(str(folder / "mouth.000007.exr"), separate_channels=True) as file:
        channels = {name: file.channels()[name].pixels.astype(np.float64) for name in "RGBA"}
    alpha = channels["A"]
    colours = np.stack([channels[name] for name in "RGB"], -1)
    assert (colours[alpha == 0] == 0).all()
    straight = colours / np.maximum(alpha, 1e-9)[..., None]
    picture = footage()
    wrong = differences(over(picture, straight, alpha), revoiced(picture, patches))
    assert wrong.max() <= 1
    assert (wrong > 0).mean() < (0.001 if len(patches) == 1 else 0.05)


@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_prores_over_the_footage_is_the_result_but_for_rounding(
    tmp_path: Path, matrix: int
) -> None:
    colour = ColourTags(1, 1, matrix)
    path = write(tmp_path / "a.mov", [PATCHES], "prores4444", replace(FILM, colour=colour))
    layer, alpha = prores_layer(path)
    picture = footage(0, colour)
    result = revoiced(picture, PATCHES)
    wrong = differences(_composite(picture, layer, alpha), result)
    assert wrong.max() <= 1
    assert (wrong > 0).mean() < 0.05


def test_prores_carries_full_range_footage_in_limited_range(tmp_path: Path) -> None:
    """Matrix and primaries stay; a compositor that reads each file by its tags gets the result."""
    colour = ColourTags(1, 1, 1, full_range=True)
    path = write(tmp_path / "a.mov", [PATCHES[:1]], "prores4444", replace(FILM, colour=colour))
    layer, alpha = prores_layer(path)
    full = (layer - [[[16]], [[128]], [[128]]]) / [[[219]], [[224]], [[224]]] * 255
    full += [[[0]], [[128]], [[128]]]
    picture = footage(0, colour)
    wrong = differences(_composite(picture, full, alpha), revoiced(picture, PATCHES[:1]))
    assert wrong.max() <= 1


def test_the_layer_is_empty_where_nothing_is_new(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mov", [PATCHES[:1], [], PATCHES[1:2]], "prores4444")
    empty = prores_layer(path, 1)[1]
    assert (empty == 0).all()
    alpha = prores_layer(path, 0)[1]
    cover = np.zeros((HEIGHT, WIDTH), np.float32)
    cover[29:89, 37:110] = PATCHES[0][1]
    assert (alpha[cover == 0] == 0).all()
    np.testing.assert_allclose(alpha, cover, atol=0.5 / 1023 + 1 / 4095)


def test_an_editor_reads_the_film_as_prores_4444(tmp_path: Path) -> None:
    for ending in (".mov", ".mxf"):
        path = write(tmp_path / f"a{ending}", [PATCHES[:1]] * 3, "prores4444")
        tracks = MediaInfo.parse(str(path)).tracks
        (video,) = [track.to_data() for track in tracks if track.track_type == "Video"]
        assert (video["format"], video["format_profile"]) == ("ProRes", "4444")
        assert video["matrix_coefficients"] == "BT.709"
        assert int(video["frame_count"]) == 3
        codes = [track.to_data().get("time_code_of_first_frame") for track in tracks]
        assert "10:00:00:00" in codes
        assert not [track for track in tracks if track.track_type == "Audio"]


def test_colours_go_on_beyond_the_edge_in_whole_blocks() -> None:
    alpha = np.zeros((20, 20), np.float32)
    alpha[5:15, 5:15] = 1
    rgb = np.zeros((20, 20, 3), np.float32)
    rgb[5:15, 5:15] = [0.2, 0.5, 0.8]
    layer = flatten([(rgb, alpha, 30, 41)], WIDTH, HEIGHT)
    assert layer is not None
    assert (layer.left, layer.top, layer.alpha.shape) == (35, 46, (10, 10))
    wide = spread_colours(layer, 16, 8, WIDTH, HEIGHT)
    assert (wide.left % 16, wide.top % 16) == (0, 0)
    assert [size % 16 for size in wide.alpha.shape] == [0, 0]
    assert wide.left <= 35 - 8
    np.testing.assert_allclose(wide.rgb - [0.2, 0.5, 0.8], 0, atol=1e-6)
    assert wide.alpha.sum() == 100


def test_the_nearest_colour_is_taken() -> None:
    rgb = np.zeros((1, 40, 3), np.float32)
    alpha = np.zeros((1, 40), np.float32)
    rgb[0, 3], rgb[0, 30], alpha[0, [3, 30]] = 0.25, 0.75, 1
    wide = spread_colours(Layer(rgb, alpha, 0, 50), 16, 8, WIDTH, HEIGHT)
    row = wide.rgb[50 - wide.top, :, 0]
    assert (row[:16] == 0.25).all()
    assert (row[18:40] == 0.75).all()


BOXES = st.tuples(st.integers(-30, 40), st.integers(-30, 40))


@settings(max_examples=25, deadline=None)
@given(st.lists(BOXES, max_size=3), st.integers(1, 3))
def test_flat_does_what_they_do_one_after_another(places: list[tuple[int, int]], seed: int) -> None:
    chance = np.random.default_rng(seed)
    patches = []
    for left, top in places:
        rows, columns = (int(size) for size in chance.integers(1, 30, 2))
        alpha = chance.random((rows, columns), np.float32).round(1)
        patches.append((chance.random((rows, columns, 3), np.float32), alpha, left, top))
    frame = chance.random((24, 32, 3))
    wanted = frame.copy()
    for rgb, alpha, left, top in patches:
        for row in range(alpha.shape[0]):
            for column in range(alpha.shape[1]):
                y, x = top + row, left + column
                if 0 <= y < 24 and 0 <= x < 32:
                    wanted[y, x] += alpha[row, column] * (rgb[row, column] - wanted[y, x])
    layer = flatten(patches, 32, 24)
    if layer is not None:
        part = frame[layer.place]
        part += layer.alpha[..., None] * (layer.rgb - part)
        wide = spread_colours(layer, 16, 8, 32, 24)
        assert wide.alpha.sum() == pytest.approx(layer.alpha.sum())
    np.testing.assert_allclose(frame, wanted, atol=1e-5)


def test_a_layer_is_whole_or_absent(tmp_path: Path) -> None:
    for form, name in (("prores4444", "a.mov"), ("png", "a"), ("exr", "b")):
        with pytest.raises(ShapeError):
            write(tmp_path / name, [PATCHES[:1], [(PATCHES[0][0], PATCHES[1][1], 0, 0)]], form)
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "a.mov", [PATCHES[:1]], "prores4444").unlink()
    shutil.rmtree(write(tmp_path / "a", [PATCHES[:1]], "png"))
    # What is compiled on the way is kept in files, too: now it is.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    try:
        for form, name in (("prores4444", "a.mov"), ("png", "a")):
            with pytest.raises(MediaError, match="no space left"):
                write(tmp_path / name, [PATCHES[:1]] * 3, form)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("form", "name"), [("prores4444", "a.mp4"), ("png", "a.mov"), ("exr", "a.mov")]
)
def test_a_name_that_does_not_fit_is_refused(tmp_path: Path, form: str, name: str) -> None:
    with pytest.raises(MediaError) as caught:
        LayerWriter(tmp_path / name, FILM, form)
    assert "drive.delivery.patch" in caught.value.remedy
