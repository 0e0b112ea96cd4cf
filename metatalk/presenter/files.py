"""Where the built-in synthetic presenter lies: a film of nobody, and the truth about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PresenterFiles:
    """Where the presenter's files lie."""

    video: Path  # the film, picture and sound: a second of silence, speech, a second of silence
    coefficients: Path  # the truth about each frame, as `load_coefficients` reads it
    phones: Path  # start_s, end_s, phone, viseme of what the presenter says
    driving: Path  # another synthetic voice, saying something else
    driving_phones: Path  # the same table for that voice
    consent: Path  # a consent record that says what the actor is


def presenter_files() -> PresenterFiles:
    """Find the synthetic presenter that comes with metatalk.

    Returns:
        The paths, all inside the package's folder.
    """
    folder = Path(__file__).resolve().parent
    return PresenterFiles(
        video=folder / "presenter.mp4",
        coefficients=folder / "presenter.npz",
        phones=folder / "phones.csv",
        driving=folder / "driving.flac",
        driving_phones=folder / "driving_phones.csv",
        consent=folder / "consent.json",
    )
