"""Short clips made from the synthetic presenter, and an actor learned from one, once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from e2e_clips import CLIP_S, FIRST_FRAME, RATE, write_clip

from metatalk.cli import main
from metatalk.media.audio import Sound, read_sound, write_wav
from metatalk.media.picture import Picture
from metatalk.media.video import read_pictures


@pytest.fixture(scope="session")
def pictures(presenter: Path) -> list[Picture]:
    """Three seconds of the presenter speaking."""
    stop = FIRST_FRAME + CLIP_S * RATE
    return [picture for picture in read_pictures(presenter) if FIRST_FRAME <= picture.index < stop]


@pytest.fixture(scope="session")
def speech(presenter: Path) -> Sound:
    """The presenter's words in those three seconds, 48 kHz."""
    sound = read_sound(presenter, 48000, from_first_frame=True)
    first = FIRST_FRAME * 48000 // RATE
    return Sound(sound.samples[first : first + CLIP_S * 48000], 48000)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory, pictures: list[Picture], speech: Sound) -> Path:
    """The three seconds as a file."""
    return write_clip(tmp_path_factory.mktemp("footage") / "presenter.mp4", pictures, speech)


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory, speech: Sound) -> Path:
    """Two seconds to be said."""
    path = tmp_path_factory.mktemp("speech") / "words.wav"
    write_wav(path, Sound(speech.samples[::-1][: 2 * 48000].copy(), 48000))
    return path


@pytest.fixture(scope="session")
def actor(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Path:
    """An actor learned from the clip with the tiny preset: every stage ran, none learned much."""
    folder = tmp_path_factory.mktemp("actors") / "presenter"
    assert main(["train", str(clip), "--actor", str(folder), "--preset", "tiny"]) == 0
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line; gives exit code, stdout and stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
