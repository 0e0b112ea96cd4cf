"""Numbered pictures: the very levels, the sound as given, and a sheet to conform them by."""

from __future__ import annotations

import contextlib
import errno
import json
import resource
import shutil
import struct
import threading
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from media_clips import make_clip, make_sound, numbered_picture, speech_like
from pymediainfo import MediaInfo

from metatalk import __version__
from metatalk.errors import MediaError
from metatalk.media.audio import read_sound
from metatalk.media.colour import ColourTags
from metatalk.media.conversion import convert_picture
from metatalk.media.exact_rgb import exact_rgb
from metatalk.media.picture import CHROMA_420, CHROMA_444, Picture
from metatalk.media.sequence import Film, SequenceWriter
from metatalk.media.video import read_pictures

WIDTH, HEIGHT = 96, 64
RATE = Fraction(24000, 1001)
PQ, UNTAGGED = ColourTags(9, 16, 9), ColourTags()
MARK = "synthetic: made with metatalk"


def film(colour: ColourTags = PQ, **changes) -> Film:
    tags = {"comment": MARK, "timecode": "01:00:00:00"}
    return Film(WIDTH, HEIGHT, RATE, 1 / RATE, colour, metadata=tags, **changes)


def picture_of(number: int, bits: int = 8, colour: ColourTags = PQ) -> Picture:
    """A picture within RGB's cube, whose chroma is 4:2:0."""
    kind = np.uint8 if bits == 8 else np.uint16
    sizes = (HEIGHT, WIDTH), (HEIGHT // 2, WIDTH // 2), (HEIGHT // 2, WIDTH // 2)
    planes = tuple(np.full(size, 1 << (bits - 1), kind) for size in sizes)
    rgb = 0.2 + 0.6 * numbered_picture(number, HEIGHT, WIDTH).astype(np.float32) / 255
    blank = Picture(number, number, planes, colour, bits)
    return blank.with_patch(rgb, np.ones((HEIGHT, WIDTH), np.float32), 0, 0)


def write(folder: Path, ending: str, pictures: list[Picture], **options) -> Path:
    about = options.pop("film", film(pictures[0].colour))
    with SequenceWriter(folder, about, ending, **options) as writer:
        for number, picture in enumerate(pictures):
            writer.write(picture, number)
    return folder


def read_back(path: Path) -> np.ndarray:
    """(H, W, 3) RGB as another program reads it."""
    if path.suffix == ".exr":
        openexr = pytest.importorskip("OpenEXR")
        with openexr.File(str(path), separate_channels=True) as file:
            channels = file.channels()
            return np.stack([channels[name].pixels for name in "RGB"], -1)
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return pixels[..., ::-1]


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize(
    ("ending", "stored", "kind", "white", "bits"),
    [
        *(("png", None, np.uint16, 65535, bits) for bits in (8, 10, 12)),
        *(("tiff", 16, np.uint16, 65535, bits) for bits in (8, 10, 12)),
        *(("exr", 16, np.float16, 1, bits) for bits in (8, 10)),  # half floats tell 11 bits apart
        *(("exr", 32, np.float32, 1, bits) for bits in (8, 10, 12)),
    ],
)
def test_the_footage_can_be_made_again_from_the_pictures(
    tmp_path: Path, ending: str, stored: int | None, kind: type, white: int, bits, full_range
) -> None:
    colour = ColourTags(9, 16, 9, full_range)
    given = picture_of(3, bits, colour)
    folder = write(tmp_path / "shot", ending, [given], bits=stored)
    pixels = read_back(folder / f"shot.000000.{ending}")
    assert pixels.dtype == kind
    patch = (pixels / np.float32(white)).astype(np.float32)
    blank = [np.full_like(plane, 7) for plane in given.planes]
    again = Picture(0, 0, tuple(blank), colour, bits)
    again = again.with_patch(patch, np.ones((HEIGHT, WIDTH), np.float32), 0, 0)
    for plane, wanted in zip(again.planes, given.planes, strict=True):
        np.testing.assert_array_equal(plane, wanted)


def test_eight_bits_are_what_detectors_see(tmp_path: Path) -> None:
    for ending in ("png", "tiff"):
        folder = write(tmp_path / ending, ending, [picture_of(1)], bits=8)
        pixels = read_back(folder / f"{ending}.000000.{ending}")
        np.testing.assert_array_equal(pixels, picture_of(1).rgb())


def test_exr_keeps_what_is_brighter_than_white(tmp_path: Path) -> None:
    luma = np.full((HEIGHT, WIDTH), 250, np.uint8)
    luma[:, ::2] = 4
    grey = np.full((HEIGHT // 2, WIDTH // 2), 128, np.uint8)
    given = Picture(0, 0, (luma, grey, grey), PQ)
    folder = write(tmp_path / "a", "exr", [given], bits=32)
    pixels = read_back(folder / "a.000000.exr")
    np.testing.assert_allclose(pixels[0, 1], (250 - 16) / 219, atol=1e-6)
    np.testing.assert_allclose(pixels[0, 0], (4 - 16) / 219, atol=1e-6)


@pytest.mark.parametrize("shift", [CHROMA_420, CHROMA_444])
@pytest.mark.parametrize("bits", [8, 10])
def test_exact_colours_are_those_of_the_picture(bits: int, shift) -> None:
    given = convert_picture(picture_of(2), bits, shift)
    np.testing.assert_allclose(exact_rgb(given), given.rgb_float(), atol=1e-5)


def test_numbers_sheet_and_sound(tmp_path: Path) -> None:
    sound = make_sound(tmp_path / "Take 3.WAV", speech_like(0.3, 44100)[None], 44100)
    folder = tmp_path / "shot"
    write(folder, "png", [picture_of(n) for n in range(3)], first_number=86400, audio=sound)
    names = sorted(path.name for path in folder.iterdir())
    pictures = [f"shot.{number:06d}.png" for number in range(86400, 86403)]
    assert names == [*pictures, "shot.json", "shot.wav"]
    assert (folder / "shot.wav").read_bytes() == sound.read_bytes()
    sheet = json.loads((folder / "shot.json").read_text())
    assert (sheet["first"], sheet["count"], sheet["sound"]) == (86400, 3, "shot.wav")
    assert (folder / (sheet["pictures"] % 86401)).exists()
    assert (sheet["rate"], sheet["timecode"]) == ("24000/1001", "01:00:00:00")
    assert (sheet["width"], sheet["height"], sheet["bits"]) == (WIDTH, HEIGHT, 16)
    assert sheet["footage_colour"]["transfer"] == 16
    assert sheet["comment"] == MARK
    assert "times" not in sheet


@pytest.mark.parametrize(
    ("times", "time_base", "is_steady", "are_listed"),
    [
        ([0, 1, 2, 4], Fraction(1, 25), False, True),  # one tick off, which is a frame
        ([0, 3604, 7207, 10811], Fraction(1, 90090), False, True),
        ([0, 3604, 7207, 10811], Fraction(1, 90090), True, False),
    ],
)
def test_times_are_left_out_only_where_they_are_the_rates_own(
    tmp_path: Path, times: list[int], time_base: Fraction, is_steady: bool, are_listed: bool
) -> None:
    about = replace(film(), rate=Fraction(25), time_base=time_base, is_steady=is_steady)
    with SequenceWriter(tmp_path / "a", about, "png") as writer:
        for number, pts in enumerate(times):
            writer.write(picture_of(number), pts)
    sheet = json.loads((tmp_path / "a" / "a.json").read_text())
    assert sheet.get("times") == (times if are_listed else None)
    assert sheet.get("time_base") == (str(time_base) if are_listed else None)


@pytest.mark.parametrize("sound", ["", "a.json", "..", None, 3])
def test_a_former_sheet_removes_only_a_sound(tmp_path: Path, sound: object) -> None:
    folder = write(tmp_path / "a", "png", [picture_of(0)])
    sheet = json.loads((folder / "a.json").read_text())
    (folder / "a.json").write_text(json.dumps({**sheet, "sound": sound}))
    write(folder, "png", [picture_of(n) for n in range(2)])
    assert json.loads((folder / "a.json").read_text())["count"] == 2
    assert (folder / "a.000001.png").exists()


def test_a_png_says_what_it_is(tmp_path: Path) -> None:
    """As FFmpeg reads it: RGB of full range with the footage's primaries and transfer."""
    about = film(PQ, pixel_aspect=Fraction(16, 15))
    folder = write(tmp_path / "a", "png", [picture_of(0)], film=about)
    with av.open(str(folder / "a.000000.png")) as container:
        frame = next(container.decode(video=0))
        assert frame.format.name == "rgb48be"
        assert (frame.color_primaries, frame.color_trc, frame.colorspace) == (9, 16, 0)
    head = (folder / "a.000000.png").read_bytes()[:200]
    assert MARK.encode() in head
    # 15 pixels across take as much room as 16 down: each is wider than it is high
    assert struct.pack(">IIB", 15, 16, 0) in head
    plain = write(tmp_path / "b", "png", [picture_of(0, colour=UNTAGGED)])
    assert b"cICP" not in (plain / "b.000000.png").read_bytes()[:200]


def test_a_tiff_says_what_it_is(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", "tiff", [picture_of(0)])
    general, image = (
        track.to_data() for track in MediaInfo.parse(str(folder / "a.000000.tiff")).tracks
    )
    assert image["title"] == MARK
    assert general["writing_application"] == f"metatalk {__version__}"


def test_an_exr_says_what_it_is(tmp_path: Path) -> None:
    openexr = pytest.importorskip("OpenEXR")
    about = film(PQ, timecode_of=lambda frame: f"01:00:00;{frame + 7:02d}")
    folder = write(
        tmp_path / "a", "exr", [picture_of(0), picture_of(1)], film=about, first_number=30
    )
    with openexr.File(str(folder / "a.000031.exr")) as file:
        header = file.header()
        assert header["comments"] == MARK
        assert "not linear" in header["encoding"]
        assert (header["footageRate"], header["footageTimecode"]) == ("24000/1001", "01:00:00;08")
        assert str(header["timeCode"]).startswith("(1, 0, 0, 8, 1,")  # the last one: drop-frame


def test_an_exr_has_no_time_code_that_nobody_gave(tmp_path: Path) -> None:
    openexr = pytest.importorskip("OpenEXR")
    folder = write(tmp_path / "a", "exr", [picture_of(0)])
    with openexr.File(str(folder / "a.000000.exr")) as file:
        assert not {"footageTimecode", "timeCode"} & set(file.header())


def test_the_sound_of_a_video_becomes_a_recording(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "s.mp4", 25, sound_start_s=Fraction(1, 2))
    folder = write(tmp_path / "a", "png", [picture_of(0)], audio=clip)
    with av.open(str(folder / "a.wav")) as container:
        assert not container.streams.video
        assert container.streams.audio[0].codec_context.sample_rate == 48000
    given, kept = read_sound(clip).samples, read_sound(folder / "a.wav").samples
    np.testing.assert_allclose(given, kept, atol=1e-4)


def test_a_shorter_run_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", "png", [picture_of(n) for n in range(4)])
    (folder / "notes.txt").write_text("mine")
    (folder / "other.000003.png").write_bytes(b"mine")
    write(folder, "png", [picture_of(0)], first_number=2)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["a.000002.png", "a.json", "notes.txt", "other.000003.png"]


def test_another_format_leaves_nothing_of_the_former_one(tmp_path: Path) -> None:
    """An editor imports whatever lies there: old pictures, or the words of an old recording."""
    speech = speech_like(0.5, 16000)[None]
    old, new = (
        make_sound(tmp_path / f"s.{end}", speech, 16000, codec=codec)
        for end, codec in (("wav", "pcm_s16le"), ("flac", "flac"))
    )
    folder = write(tmp_path / "a", "png", [picture_of(n) for n in range(3)], audio=old)
    (folder / "b.wav").write_bytes(b"mine")
    write(folder, "tiff", [picture_of(0)], audio=new)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["a.000000.tiff", "a.flac", "a.json", "b.wav"]
    write(folder, "tiff", [picture_of(0)])
    assert not (folder / "a.flac").exists()


def _fail(folder: Path) -> None:
    with SequenceWriter(folder, film(), "png") as writer:
        writer.write(picture_of(0), 0)
        raise KeyError


def test_after_an_error_there_is_what_was_before(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyError):
            _fail(tmp_path / "a")
        assert list(tmp_path.iterdir()) == []
    write(tmp_path / "a", "png", [picture_of(n) for n in range(3)])
    before = sorted((path.name, path.read_bytes()) for path in (tmp_path / "a").iterdir())
    with pytest.raises(KeyError):
        _fail(tmp_path / "a")
    after = sorted((path.name, path.read_bytes()) for path in (tmp_path / "a").iterdir())
    assert before == after


@pytest.mark.parametrize("ending", ["png", "tiff", "exr"])
@pytest.mark.parametrize("workers", [1, 3])
def test_pictures_encoded_at_once_are_all_there_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, workers: int
) -> None:
    """The first ones are all begun before any is done, and are done from the last to the first."""
    monkeypatch.setattr("metatalk.media.sequence.os.cpu_count", lambda: workers)
    stored, order = SequenceWriter._stored, []
    all_begun = threading.Barrier(workers)
    is_done = [threading.Event() for _ in range(10)]

    def backwards(writer, picture):
        number = picture.index
        if number < workers:
            all_begun.wait(60)
            assert number + 1 == workers or is_done[number + 1].wait(60)
        made = stored(writer, picture)
        order.append(number)
        is_done[number].set()
        return made

    monkeypatch.setattr(SequenceWriter, "_stored", backwards)
    folder = write(tmp_path / "a", ending, [picture_of(n) for n in range(10)], bits=None)
    assert [number for number in order if number < workers] == list(range(workers))[::-1]
    monkeypatch.undo()
    alone = write(tmp_path / "b", ending, [picture_of(n) for n in range(10)])
    for number in range(10):
        made, wanted = (at / f"{at.name}.{number:06d}.{ending}" for at in (folder, alone))
        np.testing.assert_array_equal(read_back(made), read_back(wanted))
    assert json.loads((folder / "a.json").read_text())["count"] == 10


def test_pictures_wait_for_those_before_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slow the encoder is, the pictures that wait are few."""
    monkeypatch.setattr("metatalk.media.sequence.os.cpu_count", lambda: 64)
    go, taken = threading.Event(), []

    def wait(writer, picture):
        assert go.wait(60)
        return np.zeros((2, 2), np.uint8)

    def feed() -> None:
        with SequenceWriter(tmp_path / "a", film(), "png") as writer:
            for number in range(20):
                writer.write(picture_of(number), number)
                taken.append(number)

    monkeypatch.setattr(SequenceWriter, "_stored", wait)
    feeder = threading.Thread(target=feed)
    feeder.start()
    time.sleep(0.3)
    waiting = len(taken)
    go.set()
    feeder.join()
    assert waiting <= 5
    assert len(taken) == 20


def _write_deaf_to_errors(folder: Path) -> None:
    with SequenceWriter(folder, film(), "png") as writer:
        for number in range(10):
            with contextlib.suppress(MediaError):
                writer.write(picture_of(number), number)


@pytest.mark.parametrize("at", [0, 5, 9])
def test_a_picture_that_cannot_be_encoded_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Also where the caller goes on after it was told: no sequence has a hole."""
    stored = SequenceWriter._stored

    def fail(writer, picture):
        if picture.index == at:
            raise OSError(errno.ENOSPC, "No space left on device")
        return stored(writer, picture)

    monkeypatch.setattr(SequenceWriter, "_stored", fail)
    with pytest.raises(MediaError, match="no space left"):
        write(tmp_path / "a", "png", [picture_of(n) for n in range(10)])
    assert list(tmp_path.iterdir()) == []

    with pytest.raises(MediaError, match="no space left"):
        _write_deaf_to_errors(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with SequenceWriter(tmp_path / "a", film(), "png") as writer:
        writer.write(picture_of(0), 0)
        with pytest.raises(MediaError, match="does not follow"):
            writer.write(picture_of(1), 0)
        with pytest.raises(MediaError, match="8x4"):
            writer.write_array(np.zeros((4, 8, 3), np.uint8), 1)
    with pytest.raises(MediaError, match="no frame"), SequenceWriter(tmp_path / "b", film(), "png"):
        pass
    with pytest.raises(MediaError, match="does not exist"):
        SequenceWriter(tmp_path / "absent" / "b", film(), "png")
    silent = make_clip(tmp_path / "s.mp4", 3)
    with pytest.raises(MediaError, match="no sound track"):
        SequenceWriter(tmp_path / "b", film(), "png", audio=silent)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "s.mp4"]


@pytest.mark.parametrize("ending", ["png", "tiff", "exr"])
def test_a_full_disk_leaves_nothing(tmp_path: Path, ending: str) -> None:
    shutil.rmtree(write(tmp_path / "a", ending, [picture_of(0)]))
    # What is compiled on the way is kept in files, too: now it is.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
    try:
        with pytest.raises(MediaError, match="no space left|free some space"):
            write(tmp_path / "a", ending, [picture_of(0)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_real_clip_goes_through_pictures(shared_clips: Path, tmp_path: Path) -> None:
    """Where footage leaves RGB's cube 16-bit PNG clips it; EXR does not."""
    given = next(iter(read_pictures(shared_clips / "senator.mp4")))
    about = Film(given.width, given.height, RATE, 1 / RATE, given.colour)
    folder = write(tmp_path / "a", "exr", [given], film=about, bits=32)
    kept = read_back(folder / "a.000000.exr")
    np.testing.assert_array_equal(kept, exact_rgb(given))
