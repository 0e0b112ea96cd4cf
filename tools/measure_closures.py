"""Count where lips close that should, and where they close that should not, as a markdown table.

python tools/measure_closures.py WORDS.tsv VIDEO [VIDEO ...] [--real REAL] [--later SECONDS]

WORDS.tsv has a start, an end and a word a line, parted by tabs, on the videos' clock; English.
Lips should close where a word begins with b, p or m, and not in the middle of an open vowel, which
is found by aligning the words to the sound of the first video. With --real, vowels that the real
lips shut do not count. --later moves the vowels, for footage whose sound is early.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metatalk.a2e.phone_alignment import align_transcript
from metatalk.a2e.phone_times import PhoneTimes, phone_times
from metatalk.evaluate.closures import (
    CLOSED_FACE_HEIGHTS,
    bilabial_starts,
    face_gap,
    parse_word_times,
    score_closures,
)
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.detector import open_detector
from metatalk.media.audio import read_sound
from metatalk.media.probe import probe_video
from metatalk.media.video import read_pictures

RATE = 16_000
LONGEST_PHRASE_S = 20.0
SILENT = ("sil", "sp")
Words = list[tuple[float, float, str]]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", type=Path)
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--real", type=Path)
    parser.add_argument("--later", type=float, default=0.0)
    asked = parser.parse_args(argv)
    words = parse_word_times(asked.words.read_text(encoding="utf-8"))
    vowels = open_vowels(read_sound(asked.videos[0]).samples, words).later(asked.later)
    real = watch_lips(asked.real)[1] if asked.real else None
    print("| video | closed at b, p, m | false closures on open vowels |")
    print("| --- | --- | --- |")
    for video in asked.videos:
        seconds, gap = watch_lips(video)
        beside = real[: len(gap)] if real is not None else None
        found = score_closures(
            gap, seconds, bilabial_starts(words), vowels, CLOSED_FACE_HEIGHTS, beside
        )
        kept = _share(found.closed, found.asked)
        print(f"| {video.name} | {kept} | {_share(found.shut_vowels, found.vowels)} |")
    return 0


def watch_lips(video: Path) -> tuple[np.ndarray, np.ndarray]:
    """(T,) times of the frames, and (T,) gaps in face heights; wide open where there is no face."""
    detector, track = open_detector(LandmarksConfig(max_faces=1)), []
    for picture in read_pictures(video):
        faces = detector.detect(picture.rgb())
        track.append(faces[0].points[:, :2].copy() if faces else np.full((478, 2), np.nan))
    seconds = np.arange(len(track)) / float(probe_video(video).rate)
    return seconds, np.nan_to_num(face_gap(np.array(track)), nan=np.inf)


def open_vowels(sound: np.ndarray, words: Words) -> PhoneTimes:
    """Align the words to their sound, phrase by phrase."""
    found: list[tuple[float, float, str]] = []
    for phrase in phrases(words):
        first = max(phrase[0][0] - 0.3, 0.0)
        piece = sound[round(first * RATE) : round((phrase[-1][1] + 0.3) * RATE)]
        if len(piece) < RATE // 4:
            continue
        phones = align_transcript(piece, " ".join(word for _, _, word in phrase)).later(first)
        found += zip(phones.starts, phones.ends, phones.labels, strict=True)
    return phone_times(found).of_kind("vowel_open")


def phrases(words: Words) -> list[Words]:
    """Part words at their pauses."""
    parted: list[Words] = [[]]
    for word in words:
        pause = word[2] in SILENT
        if parted[-1] and (pause or word[1] - parted[-1][0][0] > LONGEST_PHRASE_S):
            parted.append([])
        if not pause:
            parted[-1].append(word)
    return [phrase for phrase in parted if phrase]


def _share(count: int, whole: int) -> str:
    return f"{count} of {whole} ({100 * count / whole:.1f} %)" if whole else "none asked"


if __name__ == "__main__":
    raise SystemExit(main())
