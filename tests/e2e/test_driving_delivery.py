"""Results as editing programs want them: layers with alpha, numbered pictures, ProRes, 10 bits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from pymediainfo import MediaInfo

from metatalk.media.audio import Sound, write_wav
from metatalk.media.picture import Picture
from metatalk.media.video import read_pictures
from metatalk.media.ycc import ycc_factors

Run = Callable[..., tuple[int, str, str]]
LOSSLESS = ("drive.crf=0", "drive.batch=1")  # one by one, so that no rounding knows its neighbours


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory, speech: Sound) -> Path:
    """Twenty frames to be said."""
    path = tmp_path_factory.mktemp("short") / "words.wav"
    write_wav(path, Sound(speech.samples[24000 : 24000 + 38400].copy(), 48000))
    return path


def over(source: Picture, layer: np.ndarray, alpha: np.ndarray) -> list[np.ndarray]:
    """A readable compositor: (3, H, W) luma and chroma of 8 bits over a picture, rounded once."""
    y, *chroma = (plane.astype(np.float64) for plane in source.planes)
    made = [y + alpha * (layer[0] - y)]
    for old, new in zip(chroma, layer[1:], strict=True):
        wide = old.repeat(2, 0).repeat(2, 1)
        mixed, (rows, columns) = wide + alpha * (new - wide), old.shape
        made.append(mixed.reshape(rows, 2, columns, 2).mean((1, 3)))
    return [np.floor(plane + 0.5).clip(0, 255) for plane in made]


def png_layers(folder: Path, source: Picture) -> list[tuple[np.ndarray, np.ndarray]]:
    factors = ycc_factors(source.colour, source.height, 8).astype(np.float64)
    layers = []
    for path in sorted(folder.glob("*.png")):
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., [2, 1, 0, 3]] / 65535
        ycc = np.moveaxis(pixels[..., :3] @ factors[:, :3].T + factors[:, 3], -1, 0)
        layers.append((ycc, pixels[..., 3]))
    return layers


def prores_layers(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    layers = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            assert frame.format.name == "yuva444p12le"
            planes = [
                np.frombuffer(memoryview(plane), np.uint16).reshape(-1, plane.line_size // 2)
                for plane in frame.planes
            ]
            whole = np.stack([p[: frame.height, : frame.width] for p in planes]).astype(np.float64)
            layers.append((whole[:3] / 16, whole[3] / 4095))
    return layers


def test_the_new_mouth_laid_over_the_footage_is_the_result(
    actor: Path, clip: Path, short: Path, tmp_path: Path, run: Run
) -> None:
    out, stills = tmp_path / "says.mp4", tmp_path / "stills"
    sheets, film = tmp_path / "mouths", tmp_path / "mouth.mov"
    code, _, err = run("drive", actor, short, "-o", out, "--patch", sheets, *LOSSLESS)
    assert code == 0, err
    words = ("drive", actor, short, "-o", stills, "--format", "png", "--bits", "8")
    code, _, err = run(*words, "--patch", film, "drive.batch=1")
    assert code == 0, err
    filmed, made = list(read_pictures(clip))[:20], list(read_pictures(out))
    pngs, movs = png_layers(sheets, filmed[0]), prores_layers(film)
    numbered = sorted(stills.glob("*.png"))
    assert len(pngs) == len(movs) == len(numbered) == len(made) == 20
    for n in (0, 7, 19):
        assert np.array_equal(cv2.imread(str(numbered[n]))[..., ::-1], made[n].rgb())
        for layer, alpha in (pngs[n], movs[n]):
            assert 0.001 < (alpha > 0).mean() < 0.25
            for plane, wanted in zip(over(filmed[n], layer, alpha), made[n].planes, strict=True):
                assert np.abs(plane - wanted).max() <= 1


def test_prores_shows_the_same_and_is_told_as_such(
    actor: Path, clip: Path, short: Path, tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "says.mov"
    code, _, err = run("drive", actor, short, "-o", out, "--format", "prores422hq", "drive.batch=1")
    assert code == 0, err
    (track,) = (t for t in MediaInfo.parse(str(out)).tracks if t.track_type == "Video")
    assert (track.format, track.format_profile, track.chroma_subsampling) == (
        "ProRes", "422 HQ", "4:2:2",
    )  # fmt: skip
    ledger = json.loads(out.with_name("says.mov.ledger.json").read_text())
    assert ledger["synthetic"] is True
    first, filmed = next(iter(read_pictures(out))), next(iter(read_pictures(clip)))
    wrong = np.abs(first.planes[0].astype(int) - filmed.planes[0])
    assert wrong[:200].max() <= 4  # hair and brow are the footage's, whatever is said
    assert wrong.max() > 20


def ten_bits(path: Path, pictures: list[Picture]) -> Path:
    """Pictures of 10 bits in the colours of HDR television, without loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", 25)
        height, width = pictures[0].planes[0].shape
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p10le"
        context = stream.codec_context
        context.color_primaries, context.color_trc = 9, 16
        context.colorspace, context.color_range = 9, 1
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame(width, height, "yuv420p10le")
            frame.pts = number
            for plane, values in zip(frame.planes, picture.planes, strict=True):
                rows = np.frombuffer(memoryview(plane), np.uint16)
                rows = rows.reshape(-1, plane.line_size // 2)
                rows[: len(values), : values.shape[1]] = 4 * values.astype(np.uint16) + 1
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def stated(path: Path) -> dict[str, object]:
    names = (
        "bit_depth", "chroma_subsampling", "color_range", "color_primaries",
        "transfer_characteristics", "matrix_coefficients", "width", "height", "frame_count",
    )  # fmt: skip
    (track,) = (t for t in MediaInfo.parse(str(path)).tracks if t.track_type == "Video")
    return {name: getattr(track, name) for name in names}


def test_ten_bits_stay_ten_bits(
    actor: Path, pictures: list[Picture], short: Path, tmp_path: Path, run: Run
) -> None:
    clip, out = ten_bits(tmp_path / "ten.mkv", pictures[:12]), tmp_path / "says.mp4"
    words = ("drive", actor, short, "-o", out, "--target", clip, "--length", "video")
    code, _, err = run(*words, "--format", "h265", "drive.crf=4")
    assert code == 0, err
    before, after = stated(clip), stated(out)
    assert before["bit_depth"] == 10
    assert "2020" in str(before["color_primaries"])
    assert {**after, "frame_count": None} == {**before, "frame_count": None}
    assert after["frame_count"] == "12"
    for filmed, made in zip(
        read_pictures(clip, native=True), read_pictures(out, native=True), strict=True
    ):
        top = np.abs(filmed.planes[0][:200].astype(int) - made.planes[0][:200])
        assert top.mean() < 3  # of 1023 levels
        assert np.abs(filmed.planes[0].astype(int) - made.planes[0]).max() > 80  # another mouth
