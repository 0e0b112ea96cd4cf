"""A film redrawn by a Wav2Lip generator: times, sound, what passes through, what is refused."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from media_clips import make_clip, make_sound, numbered_picture, read_number, speech_like
from safetensors.torch import save_file

from metatalk.compose.config import DriveConfig
from metatalk.config import Config
from metatalk.errors import ConfigError, MediaError, MissingAssetError, TermsError
from metatalk.landmarks.points import IBUG68
from metatalk.landmarks.track import LandmarkTrack
from metatalk.lipsync.wav2lip import Wav2Lip
from metatalk.lipsync.wav2lip_config import Wav2LipConfig
from metatalk.media.audio import read_sound
from metatalk.media.probe import probe_video
from metatalk.media.video import index_frames, read_pictures
from metatalk.stages import wav2lip
from metatalk.stages.wav2lip import open_redrawer, redraw_video
from metatalk.workspace.consent import Consent

SIZE = 140


class Painter:
    """A teacher who paints mouths black."""

    batch = 4

    def __init__(self) -> None:
        self.chunks: list[np.ndarray] = []

    def redraw(self, targets: np.ndarray, references: np.ndarray, chunks: np.ndarray) -> np.ndarray:
        self.chunks += list(chunks)
        drawn = targets.copy()
        drawn[:, 58:80, 34:62] = 0
        return drawn


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch) -> Painter:
    """The teacher and the tracker are toys; all else is real."""
    painter = Painter()
    monkeypatch.setattr(wav2lip, "open_redrawer", lambda *_: painter)
    monkeypatch.setattr(wav2lip, "track_landmarks", toy_track)
    return painter


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "teacher.safetensors"
    save_file({}, path, metadata={"terms": "a toy of ours", "commercial": "true"})
    return path


def toy_track(pictures: Any, rate: float, config: Any, report: Any) -> LandmarkTrack:
    """A face in the same place in every picture, but for those numbered 4 to 6."""
    points = np.zeros((68, 3), np.float32)
    across = np.linspace(-1, 1, 17)
    points[:17, 0], points[:17, 1] = 40 * across, 20 + 50 * np.sqrt(1 - across**2)
    points[17:27, 0], points[17:27, 1] = np.linspace(-30, 30, 10), -10
    points[27:36, 1] = 20
    points[36:42, 0], points[42:48, 0] = -18, 18
    points[48:68, 1] = 40
    points[:, :2] += (SIZE / 2, 60)
    count = 0
    for count, picture in enumerate(pictures, start=1):
        assert picture.shape == (SIZE, SIZE, 3)
        report(count, None, "")
    seen = np.array([t not in (4, 5, 6) for t in range(count)])
    stacked = np.where(seen[:, None, None], points, np.nan).astype(np.float32)
    shots = np.array([[0, count]])
    return LandmarkTrack(
        stacked, seen.astype(np.float32), seen.astype(np.uint8), shots, IBUG68.layout
    )


def film(path: Path, frames: int = 12, **more: Any) -> Path:
    return make_clip(path, frames, size=(SIZE, SIZE), options={"crf": "4"}, **more)


def speech(path: Path, seconds: float, rate: int = 16_000, **more: Any) -> Path:
    return make_sound(path, speech_like(seconds, rate)[None], rate, **more)


def mouth(picture: Any) -> float:
    """Mean level where the mouth is."""
    return float(picture.planes[0][98:106, 60:80].mean())


def config(**drive: Any) -> Config:
    return Config(drive=DriveConfig(crf=4, fade_frames=0, **drive))


def test_a_film_speaks_and_the_rest_of_it_stays(
    tmp_path: Path, painter: Painter, checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rate = Fraction(30000, 1001)
    clip = film(tmp_path / "film.mp4", rate=rate, time_base=Fraction(1, 30000),
                pts=[1001 * t for t in range(12)], tags=(1, 1, 1, 1))  # fmt: skip
    sound, out = speech(tmp_path / "words.wav", 0.4), tmp_path / "out.mp4"
    with caplog.at_level(logging.WARNING):
        metrics = redraw_video(clip, sound, out, config(), with_weights(checkpoint))
    before, after = list(read_pictures(clip)), list(read_pictures(out))
    assert metrics["frames"] == len(after) == 12
    assert metrics["faceless_frames"] == 3
    assert metrics["faceless"] == "4-6"
    assert "3 of 12 frames show no face" in caplog.text
    assert len(painter.chunks) == 9
    for was, now in zip(before, after, strict=True):
        assert read_number(now) == was.index
        drawn = was.index not in (4, 5, 6)
        assert (mouth(now) < mouth(was) - 30) == drawn
        top = slice(0, SIZE // 3)
        assert np.abs(now.planes[0][top].astype(int) - was.planes[0][top]).mean() < 2
    np.testing.assert_array_equal(index_frames(out).seconds(), index_frames(clip).seconds())
    assert probe_video(out).colour == probe_video(clip).colour


def with_weights(checkpoint: Path, **more: Any) -> Wav2LipConfig:
    return Wav2LipConfig(checkpoint=str(checkpoint), **more)


def test_the_result_says_that_it_is_synthetic_and_what_it_is_made_of(
    tmp_path: Path, painter: Painter, checkpoint: Path
) -> None:
    clip, sound = film(tmp_path / "film.mp4"), speech(tmp_path / "words.wav", 0.3)
    out = tmp_path / "out.mp4"
    jane = Consent("Jane", "tests", "Jane", "2020-01-01")
    redraw_video(clip, sound, out, config(), with_weights(checkpoint), jane)
    with av.open(str(out)) as container:
        assert container.metadata["comment"].startswith("synthetic: the mouth was generated")
    ledger = json.loads((tmp_path / "out.mp4.ledger.json").read_text())
    assert ledger["synthetic"] is True
    kinds = {entry["kind"]: entry for entry in ledger["entries"]}
    assert kinds["footage"]["terms"].startswith("Jane: tests")
    assert kinds["checkpoint"]["terms"] == "a toy of ours"
    assert kinds["speech"]["name"] == "words.wav"
    assert "landmark model" in kinds


def test_footage_without_consent_is_said_and_noted(
    tmp_path: Path, painter: Painter, checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip, sound = film(tmp_path / "film.mp4"), speech(tmp_path / "words.wav", 0.3)
    with caplog.at_level(logging.WARNING):
        redraw_video(clip, sound, tmp_path / "out.mp4", config(), with_weights(checkpoint))
    assert "consent is not on record" in caplog.text
    assert "not on record" in (tmp_path / "out.mp4.ledger.json").read_text()


def test_longer_sound_plays_the_film_forth_and_back(
    tmp_path: Path, painter: Painter, checkpoint: Path
) -> None:
    clip, sound = film(tmp_path / "film.mp4", 8), speech(tmp_path / "words.wav", 0.8)
    out = tmp_path / "out.mp4"
    metrics = redraw_video(clip, sound, out, config(), with_weights(checkpoint))
    numbers = [read_number(picture) for picture in read_pictures(out)]
    assert numbers == [*range(8), *range(6, -1, -1), *range(1, 6)]
    assert metrics["faceless"] == "4-6, 8-10, 18-19"
    # Columns follow the time of the result, not the film's: no chunk is heard twice.
    firsts = [chunk.tobytes() for chunk in painter.chunks]
    assert len(set(firsts)) > len(firsts) - 5  # the last few are held at the sound's end


def test_shorter_sound_ends_the_result_or_the_film_does(
    tmp_path: Path, painter: Painter, checkpoint: Path
) -> None:
    clip, sound = film(tmp_path / "film.mp4", 12), speech(tmp_path / "words.wav", 0.2)
    settings = with_weights(checkpoint)
    assert redraw_video(clip, sound, tmp_path / "a.mp4", config(), settings)["frames"] == 5
    long = redraw_video(clip, sound, tmp_path / "v.mp4", config(length="video"), settings)
    assert long["frames"] == 12
    assert (painter.chunks[-1] == -4).all()  # silence after the sound


@pytest.mark.parametrize(
    ("rate", "channels", "level"), [(8_000, 1, 1.0), (44_100, 2, 1.0), (16_000, 1, 0.0)]
)
def test_any_sound_will_do(
    tmp_path: Path, painter: Painter, checkpoint: Path, rate: int, channels: int, level: float
) -> None:
    clip, path = film(tmp_path / "film.mp4"), tmp_path / "words.wav"
    samples = level * np.tile(speech_like(0.4, rate), (channels, 1))
    make_sound(path, samples, rate, layout="stereo" if channels == 2 else "mono")
    redraw_video(clip, path, tmp_path / "out.mp4", config(), with_weights(checkpoint))
    assert np.isfinite(np.stack(painter.chunks)).all()
    assert (np.stack(painter.chunks).max() == -4) == (level == 0)
    assert read_sound(tmp_path / "out.mp4").duration_s == pytest.approx(0.4, abs=0.05)


def test_the_films_own_sound_begins_with_its_picture(
    tmp_path: Path, painter: Painter, checkpoint: Path
) -> None:
    clip = film(tmp_path / "film.mp4", sound_start_s=Fraction(1, 5))
    redraw_video(clip, clip, tmp_path / "out.mp4", config(), with_weights(checkpoint))
    heard = read_sound(tmp_path / "out.mp4", from_first_frame=True)
    click = np.abs(heard.samples).argmax() / heard.rate
    assert click == pytest.approx(0.2, abs=0.01)


def test_a_picture_is_held(tmp_path: Path, painter: Painter, checkpoint: Path) -> None:
    still = tmp_path / "face.png"
    cv2.imwrite(str(still), numbered_picture(9, SIZE, SIZE)[..., ::-1])
    sound, out = speech(tmp_path / "words.wav", 0.4), tmp_path / "out.mp4"
    metrics = redraw_video(still, sound, out, config(), with_weights(checkpoint))
    assert metrics["frames"] == 10
    assert [read_number(picture) for picture in read_pictures(out)] == [9] * 10
    assert len(painter.chunks) == 10


def test_references_of_other_frames_are_gathered(
    tmp_path: Path, painter: Painter, checkpoint: Path
) -> None:
    clip, sound = film(tmp_path / "film.mp4"), speech(tmp_path / "words.wav", 0.4)
    settings = with_weights(checkpoint, reference="far", reference_apart_s=0.1, reference_pool=3)
    metrics = redraw_video(clip, sound, tmp_path / "out.mp4", config(), settings)
    assert metrics["frames"] == 12


def test_what_cannot_work_is_refused_before_any_work(
    tmp_path: Path, painter: Painter, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, sound = film(tmp_path / "film.mp4"), speech(tmp_path / "words.wav", 0.3)
    monkeypatch.setattr(wav2lip, "track_landmarks", None)  # nobody may come so far
    settings, out = with_weights(checkpoint), tmp_path / "out.mp4"
    with pytest.raises(ConfigError, match="--checkpoint"):
        redraw_video(clip, sound, out, config(), Wav2LipConfig())
    with pytest.raises(MissingAssetError, match="no Wav2Lip generator"):
        redraw_video(clip, sound, out, config(), with_weights(tmp_path / "none.pth"))
    with pytest.raises(MediaError, match="cannot be written as"):
        redraw_video(clip, sound, tmp_path / "out.avi", config(), settings)
    with pytest.raises(MediaError, match="work from"):
        redraw_video(clip, sound, clip, config(), settings)
    with pytest.raises(MediaError, match="no sound track"):
        redraw_video(clip, film(tmp_path / "mute.mp4"), out, config(), settings)
    with pytest.raises(MediaError, match="no video stream"):
        redraw_video(sound, sound, out, config(), settings)
    safe = replace(config(), commercial_safe=True)
    with pytest.raises(TermsError, match="film.mp4"):
        redraw_video(clip, sound, out, safe, settings)
    assert not out.exists()


def test_weights_are_loaded_in_the_arithmetic_asked_for(tmp_path: Path) -> None:
    with pytest.raises(MissingAssetError, match="no Wav2Lip generator"):
        open_redrawer(tmp_path / "none.pth", Wav2LipConfig(), "cpu")
    path = tmp_path / "random.safetensors"
    save_file(Wav2Lip().state_dict(), path)
    for precision, name in (("full", "torch.float32"), ("mixed", "torch.bfloat16")):
        redrawer = open_redrawer(path, Wav2LipConfig(precision=precision, batch=3), "cpu")
        assert str(next(redrawer.generator.parameters()).dtype) == name
        assert redrawer.batch == 3
