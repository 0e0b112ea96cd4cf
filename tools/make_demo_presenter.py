"""Make the built-in synthetic presenter: its film, its truth, and another voice to drive it."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from demo_presenter.films import presenter_picture, sound_file
from demo_presenter.head import build_scene
from demo_presenter.performance import RATE, perform
from demo_presenter.person import presenter_identity, presenter_texture
from demo_presenter.picture import CAMERA, SIZE, draw_frame, open_studio
from demo_presenter.script import (
    DRIVING_TEXT,
    DRIVING_VOICE,
    PRESENTER_TEXT,
    PRESENTER_VOICE,
)
from demo_presenter.speech import Speech, level, speak, with_silence
from demo_presenter.visemes import main_viseme

from metatalk.landmarks.config import LandmarksConfig
from metatalk.media.colour import ColourTags
from metatalk.media.writer import VideoWriter
from metatalk.morphable.coefficients import PersonCoefficients, save_coefficients
from metatalk.stages.face_model import open_face_model

OUTPUT = Path(__file__).resolve().parents[1] / "metatalk" / "presenter"
SILENCE_S = 1.0  # before and after the speech
BT709 = ColourTags(primaries=1, transfer=1, matrix=1, full_range=False)
LARGEST_BYTES = 4_000_000


def main(words: Sequence[str] | None = None) -> int:
    """Make everything; `--frames N` stops early, for a look."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--frames", type=int, default=None, help="draw only so many")
    parser.add_argument("--crf", type=float, default=20.5)
    options = parser.parse_args(words)
    options.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    speech = with_silence(level(speak(PRESENTER_TEXT, PRESENTER_VOICE)), SILENCE_S)
    driving = with_silence(level(speak(DRIVING_TEXT, DRIVING_VOICE)), 0.2)
    write_phones(options.output / "phones.csv", speech)
    write_phones(options.output / "driving_phones.csv", driving)
    sound_file(options.output / "driving.flac", driving, "flac")
    make_film(options.output, speech, options.frames, options.crf)
    size = sum(path.stat().st_size for path in options.output.glob("*.*"))
    if size > LARGEST_BYTES:
        raise SystemExit(f"{size} bytes are more than the package may carry: raise --crf")
    return 0


def make_film(output: Path, speech: Speech, frames: int | None, crf: float) -> None:
    """Draw the presenter speaking, and write down the truth about every frame."""
    model = open_face_model("anny", LandmarksConfig())
    identity = presenter_identity(model)
    whole = int(speech.duration_s * RATE)
    performance = perform(model, identity, speech.phones, whole)
    scene = build_scene(model, identity)
    person = PersonCoefficients(identity, presenter_texture(scene))
    save_coefficients(output / "presenter.npz", person, performance.track, CAMERA)
    studio = open_studio(scene)
    count = whole if frames is None else min(frames, whole)

    def pictures() -> Iterator[np.ndarray]:
        for frame in range(count):
            yield draw_frame(studio, performance.track, frame, performance.body[frame])

    with TemporaryDirectory() as folder:
        sound = Path(folder) / "speech.m4a"
        sound_file(sound, speech, "aac")
        with VideoWriter(
            output / "presenter.mp4", SIZE, SIZE, Fraction(RATE), Fraction(1, RATE), BT709,
            crf=crf, preset="slow", audio=sound, audio_limit_s=Fraction(count, RATE),
            metadata={"comment": "synthetic: no such person exists; made with metatalk"},
        ) as writer:  # fmt: skip
            for number, rgb in enumerate(pictures()):
                writer.write(presenter_picture(rgb, number, BT709), number)


def write_phones(path: Path, speech: Speech) -> None:
    """Write when each phone is said and how it looks."""
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["start_s", "end_s", "phone", "viseme"])
        for phone in speech.phones:
            times = [f"{phone.start_s:.4f}", f"{phone.end_s:.4f}"]
            table.writerow([*times, phone.name, main_viseme(phone.name)])


if __name__ == "__main__":
    raise SystemExit(main())
