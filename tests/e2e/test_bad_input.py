"""What users bring by mistake: each ends in a sentence with a remedy, or in a fair result."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from e2e_clips import grey_picture, write_clip

from metatalk.media.audio import Sound, read_sound, write_wav
from metatalk.media.picture import Picture
from metatalk.media.video import index_frames, read_pictures


def encode_sound(path: Path, codec: str, rate: int, layout: str, seconds: float = 1.5) -> Path:
    """A hum of any format."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        channels = len(stream.layout.channels)
        hum = np.sin(np.arange(int(rate * seconds)) * 2 * np.pi * 200 / rate) * 8000
        frame = av.AudioFrame.from_ndarray(
            np.repeat(hum.astype(np.int16), channels)[None], "s16", layout
        )
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


def test_footage_without_a_face(tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    clip = write_clip(tmp_path / "wall.mp4", map(grey_picture, range(12)), None)
    code, _, err = run("train", clip, "--actor", tmp_path / "actor", "--preset", "tiny")
    assert code == 2
    assert "face" in err
    assert "remedy" in err
    assert not (tmp_path / "actor" / "landmarks").exists()


def test_two_faces_take_the_larger_or_the_asked_one(
    tmp_path: Path,
    pictures: list[Picture],
    speech: Sound,
    run,  # type: ignore[no-untyped-def]
) -> None:
    side_by_side = [beside(picture) for picture in pictures[:30]]
    clip = write_clip(tmp_path / "two.mp4", side_by_side, speech)
    words = ("stage", "landmarks", clip, "--preset", "tiny", "--actor")
    assert run(*words, tmp_path / "first", "--face", 0)[0] == 0
    assert run(*words, tmp_path / "second", "--face", 1)[0] == 0
    middles = [
        np.nanmean(np.load(tmp_path / name / "landmarks/landmarks.npz")["points"][..., 0])
        for name in ("first", "second")
    ]
    assert middles[0] < 640 < middles[1]
    code, _, err = run(*words, tmp_path / "third", "--face", 2)
    assert code == 2
    assert "remedy" in err


def beside(picture: Picture) -> Picture:
    """The picture twice, side by side."""
    planes = tuple(np.concatenate([plane, plane], axis=1) for plane in picture.planes)
    return Picture(picture.index, picture.pts, planes, picture.colour)  # type: ignore[arg-type]


def test_footage_without_sound_still_fits_and_renders(
    tmp_path: Path,
    pictures: list[Picture],
    run,  # type: ignore[no-untyped-def]
) -> None:
    clip = write_clip(tmp_path / "mute.mp4", pictures[:25], None)
    actor = tmp_path / "actor"
    code, _, err = run("train", clip, "--actor", actor, "--preset", "tiny")
    assert code == 2
    assert "no sound" in err
    assert "remedy" in err
    assert (actor / "fit" / "coefficients.npz").is_file()
    assert (actor / "render" / "synthetic.npy").is_file()


def test_footage_of_three_frames(
    tmp_path: Path,
    pictures: list[Picture],
    speech: Sound,
    run,  # type: ignore[no-untyped-def]
) -> None:
    clip = write_clip(
        tmp_path / "blink.mp4", pictures[:3], Sound(speech.samples[: 3 * 1920], 48000)
    )
    code, _, err = run("train", clip, "--actor", tmp_path / "actor", "--preset", "tiny")
    assert code == 2
    assert "remedy" in err


def test_a_text_file_named_mp4(tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    clip = tmp_path / "notes.mp4"
    clip.write_text("this is not a video\n" * 100)
    code, _, err = run("train", clip, "--actor", tmp_path / "actor", "--preset", "tiny")
    assert code == 2
    assert "notes.mp4" in err.replace("\n", "")
    assert "remedy" in err


def test_a_missing_file(tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    code, _, err = run("train", tmp_path / "none.mp4", "--actor", tmp_path / "actor")
    assert code == 2
    assert "none.mp4" in err.replace("\n", "")


def test_truncated_footage_uses_what_decodes(tmp_path: Path, pictures: list[Picture], run) -> None:  # type: ignore[no-untyped-def]
    whole = write_clip(tmp_path / "whole.mkv", pictures, None)
    clip = tmp_path / "cut.mkv"
    clip.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    actor = tmp_path / "actor"
    assert run("stage", "fit", clip, "--actor", actor, "--preset", "tiny")[0] == 0
    assert 5 < len(np.load(actor / "ingest" / "frames.npz")["pts"]) < len(pictures)


@pytest.mark.parametrize(
    ("name", "codec", "rate", "layout"),
    [("phone.wav", "pcm_s16le", 8000, "mono"), ("cinema.wav", "pcm_s16le", 48000, "5.1")],
)
def test_recordings_of_any_format(
    actor: Path,
    tmp_path: Path,
    name: str,
    codec: str,
    rate: int,
    layout: str,
    run,  # type: ignore[no-untyped-def]
) -> None:
    recording = encode_sound(tmp_path / name, codec, rate, layout)
    out = tmp_path / "says.mp4"
    code, _, err = run("drive", actor, recording, "-o", out)
    assert code == 0, err
    assert abs(read_sound(out).duration_s - 1.5) < 0.05
    with av.open(str(out)) as container:
        assert len(container.streams.audio[0].layout.channels) == (1 if layout == "mono" else 6)


def test_digital_silence_rests_the_mouth(actor: Path, tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    recording = tmp_path / "nothing.wav"
    write_wav(recording, Sound(np.zeros(16000, np.float32), 16000))
    out = tmp_path / "rests.mp4"
    assert run("drive", actor, recording, "-o", out)[0] == 0
    assert len(index_frames(out)) == 25
    assert all(picture.planes[0].any() for picture in read_pictures(out))


def test_an_empty_recording(actor: Path, tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    recording = tmp_path / "empty.wav"
    recording.write_bytes(b"")
    code, _, err = run("drive", actor, recording, "-o", tmp_path / "x.mp4")
    assert code == 2
    assert "remedy" in err
    assert not (tmp_path / "x.mp4").exists()


def test_an_output_that_cannot_be_written(
    actor: Path, recording: Path, tmp_path: Path, run
) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "taken").write_text("a file where a folder is wanted")
    code, _, err = run("drive", actor, recording, "-o", tmp_path / "taken" / "x.mp4")
    assert code == 2
    assert "remedy" in err


def test_an_actor_that_is_not_trained(tmp_path: Path, recording: Path, run) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "stranger").mkdir()
    code, _, err = run("drive", tmp_path / "stranger", recording, "-o", tmp_path / "x.mp4")
    assert code == 2
    assert "train" in err
