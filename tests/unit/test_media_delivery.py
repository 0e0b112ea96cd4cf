"""Delivery formats, read back by programs that are not ours."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media_clips import make_clip, make_sound, numbered_picture, read_number, speech_like
from pymediainfo import MediaInfo

from metatalk.errors import MediaError
from metatalk.media.audio import read_sound
from metatalk.media.codecs import (
    MXF_RATES,
    Encoding,
    choose_encoding,
)
from metatalk.media.colour import ColourTags
from metatalk.media.conversion import convert_picture
from metatalk.media.hdr import HdrTags
from metatalk.media.picture import CHROMA_420, CHROMA_422, Picture
from metatalk.media.video import index_frames, probe_video, read_pictures
from metatalk.media.writer import VideoWriter

SIZE = WIDTH, HEIGHT = 256, 144
RATE = Fraction(30000, 1001)
TAGS = {"comment": "synthetic: made with metatalk", "timecode": "01:00:00;02"}
PQ, BT709 = ColourTags(9, 16, 9), ColourTags(1, 1, 1)
COUNT = 5

# format, bits: MediaInfo's format and profile, FFmpeg's pixel format, peak signal to noise, dB
FORMATS = {
    ("h264", 8): ("AVC", "High", "yuv420p", 38),
    ("h264", 10): ("AVC", "High 10", "yuv420p10le", 38),
    ("h265", 8): ("HEVC", "Main", "yuv420p", 38),
    ("h265", 10): ("HEVC", "Main 10", "yuv420p10le", 38),
    ("prores422hq", None): ("ProRes", "422 HQ", "yuv422p10le", 45),
    ("prores4444", None): ("ProRes", "4444", "yuv444p1", 45),
    ("dnxhr_hq", None): ("VC-3", "HQ", "yuv422p", 40),
    ("dnxhr_hqx", None): ("VC-3", "HQX", "yuv422p10le", 40),
    ("dnxhr_444", None): ("VC-3", "444", "yuv444p10le", 40),
}
WRITTEN = [
    (*made, ending)
    for made in FORMATS
    for ending in (".mp4", ".mov", ".mkv", ".mxf")
    if ending in {
        "h": (".mp4", ".mov", ".mkv"),
        "p": (".mov", ".mkv", ".mxf"),
        "d": (".mov", ".mxf"),
    }[made[0][0]] and (made[0], ending) != ("dnxhr_444", ".mxf")
]  # fmt: skip


def picture_of(number: int, bits: int = 10, colour: ColourTags = PQ) -> Picture:
    blank = [np.full(SIZE[::-1], 1 << (bits - 1), np.uint8 if bits == 8 else np.uint16)] * 3
    rgb = numbered_picture(number, HEIGHT, WIDTH).astype(np.float32) / 255
    alpha = np.ones((HEIGHT, WIDTH), np.float32)
    return Picture(number, number, tuple(blank), colour, bits).with_patch(rgb, alpha, 0, 0)


def write_film(path: Path, encoding: Encoding, colour: ColourTags = PQ, **options: Any) -> Path:
    settings = {"metadata": TAGS, **options}
    with VideoWriter(path, *SIZE, RATE, 1 / RATE, colour, encoding=encoding, **settings) as writer:
        for number in range(COUNT):
            writer.write(picture_of(number, 10, colour), number)
    return path


def tracks(path: Path, kind: str) -> list[dict[str, Any]]:
    return [
        track.to_data() for track in MediaInfo.parse(str(path)).tracks if track.track_type == kind
    ]


def frames_of(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def planes_of(frame: av.VideoFrame) -> list[np.ndarray]:
    bits = frame.format.components[0].bits
    kind = np.uint8 if bits == 8 else np.uint16
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), kind)
        rows = rows.reshape(-1, plane.line_size // np.dtype(kind).itemsize)
        planes.append(rows[: plane.height, : plane.width] / float(1 << (bits - 8)))
    return planes


def psnr(planes: list[np.ndarray], others: list[np.ndarray]) -> float:
    errors = np.concatenate([(a - b).ravel() for a, b in zip(planes, others, strict=True)])
    return float(10 * np.log10(255**2 / np.mean(errors**2)))


@pytest.mark.parametrize(("name", "bits", "ending"), WRITTEN)
def test_every_format_is_what_it_says(
    tmp_path: Path, name: str, bits: int | None, ending: str
) -> None:
    sound = make_sound(
        tmp_path / "s.wav", np.stack([speech_like(0.5, 48000)] * 2), 48000,
        codec="pcm_s24le", layout="stereo",
    )  # fmt: skip
    encoding = choose_encoding(name, bits, None, 10, *SIZE)
    path = write_film(tmp_path / f"a{ending}", encoding, audio=sound, crf=10)
    form, profile, pixels, least_db = FORMATS[name, bits]

    (video,) = tracks(path, "Video")
    assert video["format"] == form
    if not (ending == ".mkv" and name.startswith("prores")):  # it looks for none there
        assert profile in video["format_profile"].split("@")
    assert (video["width"], video["height"]) == SIZE
    assert (video["frame_rate"], int(video["frame_count"])) == ("29.970", COUNT)
    assert float(video["duration"]) == pytest.approx(1000 * COUNT / RATE, abs=1)
    assert video["color_primaries"] == "BT.2020"
    assert video["transfer_characteristics"] == "PQ"
    assert video["matrix_coefficients"] == "BT.2020 non-constant"
    assert video.get("color_range", "Limited") == "Limited"
    assert video.get("bit_depth", encoding.bits) == encoding.bits
    if "scan_type" in video:
        assert video["scan_type"] == "Progressive"

    frames = frames_of(path)
    assert len(frames) == COUNT
    assert frames[0].format.name.startswith(pixels)
    for number, frame in enumerate(frames):
        wanted = convert_picture(picture_of(number), encoding.bits, encoding.shift).planes
        scale = float(1 << (encoding.bits - 8))
        assert psnr(planes_of(frame), [plane / scale for plane in wanted]) > least_db
    first = frames[0]
    assert (first.color_primaries, first.color_trc, first.colorspace) == (9, 16, 9)
    info = probe_video(path)
    assert (info.colour, info.timecode, info.field_order) == (PQ, "01:00:00;02", "progressive")

    (heard,) = tracks(path, "Audio")
    assert (heard["sampling_rate"], heard["channel_s"]) == (48000, 2)
    if ending == ".mp4":
        assert heard["format"] == "AAC"
    else:
        assert (heard["format"], heard["bit_depth"]) == ("PCM", 24)
        given, kept = read_sound(sound, 48000).samples, read_sound(path, 48000).samples
        count = min(len(given), len(kept))
        assert count > 7900
        np.testing.assert_array_equal(given[:count], kept[:count])

    said = [*tracks(path, "General"), *tracks(path, "Other")]
    assert [track for track in said if track.get("time_code_of_first_frame") == "01:00:00;02"]
    with av.open(str(path)) as container:
        assert "synthetic: made with metatalk" in container.metadata.values()


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not on this machine")
@pytest.mark.parametrize(("name", "bits", "ending"), [w for w in WRITTEN if w[2] == ".mov"])
def test_ffprobe_agrees(tmp_path: Path, name: str, bits: int | None, ending: str) -> None:
    path = write_film(tmp_path / f"a{ending}", choose_encoding(name, bits, None, 10, *SIZE))
    command = ["ffprobe", "-v", "error", "-show_streams", "-show_frames", "-of", "json", str(path)]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    video = told["streams"][0]
    assert video["pix_fmt"].startswith(FORMATS[name, bits][2][:10])
    assert video["r_frame_rate"] == video["avg_frame_rate"] == "30000/1001"
    assert video["color_range"] == "tv"
    assert (video["color_primaries"], video["color_transfer"]) == ("bt2020", "smpte2084")
    assert video["color_space"] == "bt2020nc"
    assert video["nb_frames"] == str(COUNT)
    assert video.get("field_order", "progressive") == "progressive"
    assert "01:00:00;02" in json.dumps(told["streams"])
    shown = [frame for frame in told["frames"] if frame["media_type"] == "video"]
    ticks = [int(frame["pts"]) * Fraction(video["time_base"]) for frame in shown]
    assert ticks == [number / RATE for number in range(COUNT)]


@pytest.mark.parametrize(
    ("name", "ending"),
    [("h265", ".mp4"), ("h265", ".mov"), ("prores422hq", ".mov"), ("dnxhr_hqx", ".mov")],
)
@pytest.mark.parametrize("pts", [[0, 1001, 2002, 3003], [0, 100, 1024, 1500, 4000], [0], [0, 9]])
def test_times_come_back_exactly(tmp_path: Path, name: str, ending: str, pts: list[int]) -> None:
    path, tick = tmp_path / f"a{ending}", Fraction(1, 24000)
    encoding = choose_encoding(name, None, None, 8, *SIZE)
    rate = Fraction(24000, 1001)
    with VideoWriter(path, *SIZE, rate, tick, BT709, encoding=encoding) as writer:
        for number, time in enumerate(pts):
            writer.write(picture_of(number, 8, BT709), time)
    index = index_frames(path)
    assert [index.time(t) for t in range(len(index))] == [time * tick for time in pts]


SINGLE = [(name, bits, None, ending) for name, bits, ending in WRITTEN] + [
    (name, bits, chroma, ending)
    for name in ("h264", "h265")
    for bits in (8, 10)
    for chroma in (422, 444)
    for ending in (".mp4", ".mov", ".mkv")
]


@pytest.mark.parametrize(("name", "bits", "chroma", "ending"), SINGLE)
def test_a_single_frame_is_a_film(
    tmp_path: Path, name: str, bits: int | None, chroma: int | None, ending: str
) -> None:
    """It starts at 0 and lasts as long as the rate says; its sound goes on, but not in MXF."""
    path, encoding = tmp_path / f"a{ending}", choose_encoding(name, bits, chroma, 10, *SIZE)
    sound = make_sound(tmp_path / "s.wav", speech_like(0.3, 48000)[None], 48000)
    with VideoWriter(
        path, *SIZE, RATE, 1 / RATE, PQ, encoding=encoding, audio=sound, metadata=TAGS
    ) as writer:
        writer.write(picture_of(7), 0)
    (frame,) = frames_of(path)
    assert frame.pts == 0
    # FFmpeg's decoder of ProRes 4444 tells 12 bits
    assert frame.format.name.startswith(encoding.pixel_format.replace("10le", "1"))
    index = index_frames(path)
    assert (len(index), index.time(0)) == (1, 0)
    (read,) = read_pictures(path)
    assert read_number(read) == 7
    (video,) = tracks(path, "Video")
    assert video["format"] == FORMATS[name, bits][0]
    if "frame_count" in video:
        assert int(video["frame_count"]) == 1
    if ending in (".mp4", ".mov"):
        assert float(video["duration"]) == pytest.approx(1000 / float(RATE), abs=1)
    least_s = 1 / RATE if ending == ".mxf" else 0.3
    assert len(read_sound(path, 48000).samples) >= 48000 * least_s - 1


@pytest.mark.parametrize("name", ["h264", "h265", "dnxhr_hqx", "dnxhr_hq"])
def test_full_range_is_kept_where_a_format_has_it(tmp_path: Path, name: str) -> None:
    colour = ColourTags(1, 1, 1, full_range=True)
    encoding = choose_encoding(name, None, None, 10, *SIZE)
    path = write_film(tmp_path / "a.mov", encoding, colour)
    assert probe_video(path).colour == colour


@pytest.mark.parametrize("ending", [".mov", ".mxf", ".mkv"])
def test_full_range_becomes_limited_where_a_format_has_no_other(
    tmp_path: Path, ending: str
) -> None:
    """A reader that takes it for limited, as every reader of ProRes does, sees the same colours."""
    full = ColourTags(1, 1, 1, full_range=True)
    path = write_film(
        tmp_path / f"a{ending}", choose_encoding("prores4444", None, None, 8, *SIZE), full
    )
    assert probe_video(path).colour == BT709
    (video,) = tracks(path, "Video")
    assert video.get("color_range", "Limited") == "Limited"
    luma = planes_of(frames_of(path)[0])[0]
    wanted = picture_of(0, 10, full).planes[0] / 1023 * 219 + 16
    assert np.abs(luma - wanted).max() < 4
    assert abs((luma - wanted).mean()) < 0.1


@pytest.mark.parametrize("matrix", [1, 2, 5, 9])
def test_dnxhr_states_its_matrix_in_every_frame(tmp_path: Path, matrix: int) -> None:
    """FFmpeg's encoder writes BT.709 whatever it is told, and readers trust the frame."""
    colour = ColourTags(matrix, matrix, matrix)
    path = write_film(tmp_path / "a.mov", choose_encoding("dnxhr_hq", 8, None, 8, *SIZE), colour)
    seen = 6 if matrix == 2 else matrix  # untagged, and below 720 lines
    assert [int(frame.colorspace) for frame in frames_of(path)] == [seen] * COUNT


def test_hdr_light_goes_along_with_h265(tmp_path: Path) -> None:
    light = HdrTags(
        (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329), (0.0001, 1000.0), (1000, 400)
    )
    path = write_film(tmp_path / "a.mov", choose_encoding("h265", None, None, 10, *SIZE), hdr=light)
    (video,) = tracks(path, "Video")
    assert video["mastering_display_color_primaries"] == "Display P3"
    assert video["mastering_display_luminance"] == "min: 0.0001 cd/m2, max: 1000 cd/m2"
    assert video["maximum_content_light_level"] == "1000 cd/m2"
    assert video["maximum_frameaverage_light_level"] == "400 cd/m2"
    found = probe_video(path).hdr
    assert found is not None
    np.testing.assert_allclose(found.primaries, light.primaries, atol=2e-5)
    assert (found.luminance, found.content) == (light.luminance, light.content)


def test_no_hdr_is_made_up(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mov", choose_encoding("h265", None, None, 10, *SIZE))
    assert probe_video(path).hdr is None
    assert HdrTags().x265_parameters() == []


def test_eight_bits_pass_through_ten_without_a_trace(tmp_path: Path) -> None:
    """Chroma is replicated and levels are shifted: nothing but the codec's own loss is left."""
    path = tmp_path / "a.mkv"
    encoding = choose_encoding("h264", 10, 422, 8, *SIZE)
    given = convert_picture(picture_of(0, 8, BT709), 8, CHROMA_420)
    with VideoWriter(
        path, *SIZE, RATE, 1 / RATE, BT709, crf=0, encoding=encoding, preset="ultrafast"
    ) as writer:
        writer.write(given, 0)
    (frame,) = frames_of(path)
    assert frame.format.name == "yuv422p10le"
    for plane, wanted in zip(
        planes_of(frame), convert_picture(given, 8, CHROMA_422).planes, strict=True
    ):
        assert np.abs(plane - wanted).max() < 1.1  # crf 0 of 10 bits is nearly without loss


@pytest.mark.parametrize("size", [(97, 64), (96, 63), (97, 63)])
def test_prores_4444_holds_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    path, encoding = tmp_path / "a.mov", choose_encoding("prores4444", None, None, 8, *size)
    width, height = size
    rgb = numbered_picture(5, height, width).astype(np.float32) / 255
    blank = Picture(0, 0, tuple([np.full((height, width), 128, np.uint8)] * 3), BT709)
    picture = blank.with_patch(rgb, np.ones((height, width), np.float32), 0, 0)
    with VideoWriter(path, *size, RATE, 1 / RATE, BT709, encoding=encoding) as writer:
        writer.write(picture, 0)
    (frame,) = frames_of(path)
    assert (frame.width, frame.height) == size
    assert psnr(planes_of(frame), list(picture.planes)) > 40


def test_mxf_holds_a_steady_and_known_rate_only(tmp_path: Path) -> None:
    encoding = choose_encoding("dnxhr_hq", None, None, 8, *SIZE)
    with pytest.raises(MediaError, match=r"22\.131") as caught:
        VideoWriter(
            tmp_path / "a.mxf", *SIZE, Fraction(1350, 61), Fraction(61, 1350), BT709,
            encoding=encoding,
        )  # fmt: skip
    assert ".mov" in caught.value.remedy
    assert Fraction(25) in MXF_RATES
    assert RATE in MXF_RATES
    steady = VideoWriter(tmp_path / "a.mxf", *SIZE, RATE, 1 / RATE, BT709, encoding=encoding)
    with pytest.raises(MediaError, match="steady"), steady as writer:
        _write_at(writer, [0, 3])
    assert list(tmp_path.iterdir()) == []


def _write_at(writer: VideoWriter, times: list[int]) -> None:
    for number, time in enumerate(times):
        writer.write(picture_of(number), time)


def test_probe_tells_fields_and_the_time_code_of_matroska(tmp_path: Path) -> None:
    fields = make_clip(
        tmp_path / "i.mp4", 4, size=(128, 96), options={"x264-params": "interlaced=1:tff=1"}
    )
    info = probe_video(fields)
    assert info.interlaced
    assert info.field_order in ("top first", "unknown")
    whole = write_film(tmp_path / "a.mkv", Encoding())
    assert probe_video(whole).timecode == "01:00:00;02"
    assert [read_number(picture) for picture in read_pictures(whole)] == list(range(COUNT))


@pytest.mark.parametrize(
    ("clip", "name"),
    [
        ("fractional_fps.mp4", "h265"),
        ("fractional_fps.mp4", "prores422hq"),
        ("senator.mp4", "dnxhr_hqx"),
        ("webcam.mp4", "prores4444"),
    ],
)
def test_a_real_clip_keeps_its_times(
    shared_clips: Path, tmp_path: Path, clip: str, name: str
) -> None:
    source, path = shared_clips / clip, tmp_path / "a.mov"
    info, index = probe_video(source), index_frames(source)
    size = info.width, info.height
    with VideoWriter(
        path, *size, index.rate, index.time_base, info.colour,
        encoding=choose_encoding(name, None, None, info.bits, *size), preset="ultrafast",
        audio=source,
    ) as writer:  # fmt: skip
        for picture in islice(read_pictures(source), 12):
            writer.write(picture, picture.pts)
    result = index_frames(path)
    assert [result.time(t) for t in range(12)] == [index.time(t) for t in range(12)]
    np.testing.assert_array_equal(read_sound(source).samples, read_sound(path).samples)


@pytest.mark.parametrize(
    ("name", "ending"), [("prores4444", ".mov"), ("dnxhr_hqx", ".mxf"), ("h265", ".mp4")]
)
def test_a_full_disk_leaves_nothing(tmp_path: Path, name: str, ending: str) -> None:
    path, encoding = tmp_path / f"a{ending}", choose_encoding(name, None, None, 10, *SIZE)
    write_film(path, encoding, crf=0)
    path.unlink()  # what is compiled on the way is kept in files, too: now it is
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limits[1]))
    try:
        with pytest.raises(MediaError, match="no space left"):
            write_film(path, encoding, crf=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
