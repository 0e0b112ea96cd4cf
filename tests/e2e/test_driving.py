"""A drive as editors ask for it: parts, previews, re-timing, and places to look at."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import opentimelineio as otio
import pytest
from e2e_clips import write_clip

from metatalk.cli import main
from metatalk.landmarks.points import point_groups
from metatalk.media.audio import Sound, read_sound, write_wav
from metatalk.media.picture import Picture
from metatalk.media.video import index_frames, read_pictures
from metatalk.stages.artefacts import load_landmarks

Run = Callable[..., tuple[int, str, str]]
Box = tuple[int, int, int, int]  # left, top, right, bottom
LOSSLESS = ("drive.crf=0", "drive.batch=1")  # one by one, so that no rounding knows its neighbours
COVERED = range(25, 40)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory, speech: Sound) -> Path:
    """Twenty frames to be said."""
    path = tmp_path_factory.mktemp("short") / "words.wav"
    write_wav(path, Sound(speech.samples[24000 : 24000 + 38400].copy(), 48000))
    return path


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory, speech: Sound) -> Path:
    """Four seconds to be said over three of footage."""
    path = tmp_path_factory.mktemp("long") / "words.wav"
    there_and_back = np.concatenate([speech.samples, speech.samples[::-1]])
    write_wav(path, Sound(there_and_back[: 4 * 48000].copy(), 48000))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, actor: Path, recording: Path) -> list[Picture]:
    """All of a result, as it is without anything asked for."""
    out = tmp_path_factory.mktemp("whole") / "says.mp4"
    assert main(["drive", str(actor), str(recording), "-o", str(out), *LOSSLESS]) == 0
    return list(read_pictures(out))


@pytest.fixture(scope="module")
def mouth_box(actor: Path) -> Box:
    """Where the lips are in the training clip, with a margin; even numbers."""
    landmarks = load_landmarks(actor / "landmarks" / "landmarks.npz")
    lips = landmarks.points[:, list(point_groups(landmarks.layout).lips_inner), :2]
    low, high = np.nanmin(lips, (0, 1)) - 22, np.nanmax(lips, (0, 1)) + 24
    left, top, right, bottom = (2 * int(side // 2) for side in (*low, *high))
    return left, top, right, bottom


@pytest.fixture(scope="module")
def covered(
    tmp_path_factory: pytest.TempPathFactory, pictures: list[Picture], mouth_box: Box
) -> Path:
    """Another clip of the actor; for a while something lies over the mouth."""
    shown = [paint(p, mouth_box) if n in COVERED else p for n, p in enumerate(pictures[:60])]
    return write_clip(tmp_path_factory.mktemp("covered") / "covered.mp4", shown, None)


def paint(picture: Picture, box: Box) -> Picture:
    """A box of one colour over a picture."""
    left, top, right, bottom = box
    y, u, v = (plane.copy() for plane in picture.planes)
    y[top:bottom, left:right] = 60
    u[top // 2 : bottom // 2, left // 2 : right // 2] = 90
    v[top // 2 : bottom // 2, left // 2 : right // 2] = 110
    return replace(picture, planes=(y, u, v))


def same(first: Picture, second: Picture) -> bool:
    """Whether two pictures hold the same bits."""
    return all(np.array_equal(a, b) for a, b in zip(first.planes, second.planes, strict=True))


def rows_of(table: Path) -> list[dict[str, str]]:
    head, *lines = table.read_text().splitlines()
    return [dict(zip(head.split(","), line.split(","), strict=True)) for line in lines]


def test_a_preview_is_a_piece_of_the_whole(
    actor: Path, recording: Path, whole: list[Picture], tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "preview.mp4"
    code, _, err = run("drive", actor, recording, "-o", out, "--preview", "0.44", *LOSSLESS)
    assert code == 0, err
    shown = list(read_pictures(out))
    assert len(shown) == len(whole) - 11
    assert all(same(one, other) for one, other in zip(shown, whole[11:], strict=True))
    heard, said = read_sound(out, 16000).samples, read_sound(recording, 16000).samples
    rest = said[round(0.44 * 16000) :]
    count = min(len(heard), len(rest))
    assert abs(len(heard) - len(rest)) < 0.1 * 16000
    assert np.corrcoef(heard[:count], rest[:count])[0, 1] > 0.99


def test_a_preview_of_a_longer_result_lasts_three_seconds(
    actor: Path, long: Path, tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "preview.mp4"
    words = ("drive", actor, long, "-o", out, "--preview", "0:00.5", "--json")
    code, stdout, err = run(*words)
    assert code == 0, err
    assert (json.loads(stdout)["frames"], json.loads(stdout)["duration_s"]) == (75, 3.0)
    assert len(index_frames(out)) == 75
    assert len(read_sound(out, 16000).samples) / 16000 == pytest.approx(3.0, abs=0.1)


def test_only_the_named_part_is_new(
    actor: Path, recording: Path, clip: Path, tmp_path: Path, run: Run
) -> None:
    out, table = tmp_path / "part.mp4", tmp_path / "part.csv"
    words = ("drive", actor, recording, "-o", out, "--segments", "0.8-1.2", "--markers", table)
    code, stdout, err = run(*words, *LOSSLESS, "--json")
    assert code == 0, err
    kept = [same(a, b) for a, b in zip(read_pictures(clip), read_pictures(out), strict=True)]
    new = [number for number, is_kept in enumerate(kept) if not is_kept]
    assert set(range(20, 30)) <= set(new)  # 0.8 s and 1.2 s
    assert new == list(range(new[0], new[-1] + 1))
    assert new[0] >= 15  # a ramp of 0.2 s
    assert new[-1] <= 34
    assert json.loads(stdout)["filmed_frames"] == len(kept) - len(new)
    (marked,) = rows_of(table)
    assert (marked["kind"], marked["first_frame"], marked["last_frame"]) == ("segment", "20", "29")


def test_a_preview_marks_a_segment_where_it_is_shown(
    actor: Path, recording: Path, tmp_path: Path, run: Run
) -> None:
    out, table = tmp_path / "part.mp4", tmp_path / "part.csv"
    words = ("drive", actor, recording, "-o", out, "--segments", "0.8-1.2", "--markers", table)
    code, _, err = run(*words, "--preview", "0.6")
    assert code == 0, err
    (marked,) = rows_of(table)
    assert (marked["first_frame"], marked["last_frame"]) == ("5", "14")


def test_only_what_sounds_different_is_new(
    actor: Path, clip: Path, speech: Sound, tmp_path: Path, run: Run
) -> None:
    new = speech.samples.copy()
    new[48000:72000] = speech.samples[24000:48000][::-1]  # from 1 s to 1.5 s
    write_wav(tmp_path / "new.wav", Sound(new, 48000))
    out = tmp_path / "changed.mp4"
    words = ("drive", actor, tmp_path / "new.wav", "-o", out, "--changed-from", clip)
    code, _, err = run(*words, *LOSSLESS)
    assert code == 0, err
    kept = [same(a, b) for a, b in zip(read_pictures(clip), read_pictures(out), strict=True)]
    assert not any(kept[25:38])
    assert all(kept[:18])
    assert all(kept[48:])
    heard = read_sound(out, 16000).samples
    said = read_sound(tmp_path / "new.wav", 16000).samples
    count = min(len(heard), len(said))
    assert np.corrcoef(heard[:count], said[:count])[0, 1] > 0.99  # all of the new recording


def test_retimed_footage_goes_on_without_a_jump(
    actor: Path, long: Path, tmp_path: Path, run: Run
) -> None:
    out, plot = tmp_path / "long.mp4", tmp_path / "way.png"
    timeline, table = tmp_path / "way.otio", tmp_path / "way.csv"
    words = ["drive", actor, long, "-o", out, "--retime", "speech", "--plot", plot]
    code, _, err = run(*words, "--markers", timeline, "--markers", table)
    assert code == 0, err
    pictures = [picture.planes[0][:100].astype(int) for picture in read_pictures(out)]
    assert len(pictures) == 100  # the footage has 75
    assert max(np.abs(a - b).mean() for a, b in itertools.pairwise(pictures)) < 3.0
    drawn = cv2.imread(str(plot))
    assert min(drawn.shape[:2]) > 200
    assert drawn.std() > 5  # something is drawn on it
    (film,) = otio.adapters.read_from_file(str(timeline)).find_clips()
    assert film.duration().value == 100
    assert film.duration().rate == 25
    starts = sorted(int(marker.marked_range.start_time.value) for marker in film.markers)
    rows = rows_of(table)
    assert starts == sorted(int(row["first_frame"]) for row in rows)
    assert any(row["kind"] == "turn" for row in rows)  # 4 s of 3 s do not go one way only


def test_footage_that_must_not_be_retimed_is_too_short(
    actor: Path, long: Path, tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "long.mp4"
    code, _, err = run("drive", actor, long, "-o", out, "--retime", "off")
    told = " ".join(err.split())
    assert code == 2
    assert "lasts 4.00 s, the footage 3.00 s" in told
    assert "--retime loop" in told
    assert not out.exists()


def test_what_covers_the_mouth_stays_and_is_marked(
    actor: Path, covered: Path, recording: Path, tmp_path: Path, run: Run
) -> None:
    out, table = tmp_path / "says.mp4", tmp_path / "says.csv"
    words = ["drive", actor, recording, "-o", out, "--target", covered, "--length", "video"]
    code, stdout, err = run(*words, "--markers", table, *LOSSLESS, "--json")
    assert code == 0, err
    pairs = zip(read_pictures(covered), read_pictures(out), strict=True)
    kept = [same(filmed, made) for filmed, made in pairs]
    assert all(kept[n] for n in COVERED)
    assert not any(kept[: COVERED.start - 5])
    assert not any(kept[COVERED.stop + 5 :])
    assert json.loads(stdout)["filmed_frames"] == sum(kept)
    (marked,) = (row for row in rows_of(table) if row["kind"] == "filmed")
    assert int(marked["first_frame"]) <= COVERED.start
    assert int(marked["last_frame"]) >= COVERED.stop - 1
    assert "covers" in marked["words"]
    assert "covers" in " ".join(err.split())  # told at once, too


def test_what_hides_the_face_is_measured_once(
    actor: Path, covered: Path, short: Path, tmp_path: Path, run: Run
) -> None:
    words = ["drive", actor, short, "-o", tmp_path / "says.mp4", "--target", covered]
    assert run(*words)[0] == 0
    (found,) = (
        path for path in actor.glob("targets/*/occlusion/hidden.npz")
        if (path.parents[1] / "fit").is_dir() and len(np.load(path)["looked"]) == 60
    )  # fmt: skip
    before = found.stat().st_mtime_ns
    fit_before = (found.parents[1] / "fit" / "coefficients.npz").stat().st_mtime_ns
    assert run(*words)[0] == 0
    assert found.stat().st_mtime_ns == before
    code, _, err = run(*words, "--rerun", "occlusion")
    assert code == 0, err
    assert found.stat().st_mtime_ns > before
    assert (found.parents[1] / "fit" / "coefficients.npz").stat().st_mtime_ns == fit_before


def test_blinks_go_and_only_the_eyes_change(
    actor: Path, recording: Path, whole: list[Picture], tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "awake.mp4"
    words = ("drive", actor, recording, "-o", out, "--blinks", "remove", *LOSSLESS)
    code, _, err = run(*words)
    assert code == 0, err
    landmarks = load_landmarks(actor / "landmarks" / "landmarks.npz")
    groups, changed = point_groups(landmarks.layout), 0
    for n, (one, other) in enumerate(zip(read_pictures(out), whole, strict=True)):
        rows, columns = np.nonzero(one.planes[0] != other.planes[0])
        if len(rows):
            eyes = landmarks.points[n, [*groups.right_eye, *groups.left_eye], :2]
            assert rows.min() > eyes[:, 1].min() - 60
            assert rows.max() < eyes[:, 1].max() + 60
            assert columns.min() > eyes[:, 0].min() - 60
            assert columns.max() < eyes[:, 0].max() + 60
            changed += 1
    assert changed < len(whole)  # eyes that are open stay as they were filmed


@pytest.mark.parametrize(
    "words",
    [
        ["--patch", "mouth.mp4"],
        ["--patch", "says.mp4"],
        ["--markers", "places.xml"],
        ["--markers", "ACTOR/fit/places.csv"],
        ["--plot", "WORDS"],
        ["--format", "prores422hq"],
        ["--format", "png"],
        ["--bits", "12"],
        ["--head-still", "2"],
        ["--amplitude", "9"],
        ["--segments", "0.2-0.4", "--changed-from", "WORDS"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_written_or_meant_is_told_before_any_work(
    actor: Path, short: Path, tmp_path: Path, run: Run, words: list[str]
) -> None:
    names = {"ACTOR": str(actor), "WORDS": str(short)}
    said = [word if word[:2] == "--" else placed(word, names, tmp_path) for word in words]
    before = files_below(actor)
    told = short.read_bytes()
    code, _, err = run("drive", actor, short, "-o", tmp_path / "says.mp4", *said)
    assert code == 2
    assert "remedy" in err
    assert not any(tmp_path.iterdir())
    assert files_below(actor) == before
    assert short.read_bytes() == told


def placed(word: str, names: dict[str, str], folder: Path) -> str:
    """A word of a command line, its files put where they are or may be."""
    for name, path in names.items():
        word = word.replace(name, path)
    is_file = "." in word and not word[0].isdigit() and not Path(word).is_absolute()
    return str(folder / word) if is_file else word


def files_below(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--segments", "nonsense"], "nonsense"),
        (["--segments", "50-60"], "no segment lies in the film"),
        (["--segments", "missing.srt"], "missing.srt"),
        (["--segments", "0.2-0.4", "--retime", "speech"], "drive.retime=speech"),
        (["--preview", "9:00"], "--preview 0:01"),
        (["--preview", "nonsense"], "is not a time"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_times_that_are_none_leave_no_result(
    actor: Path, short: Path, tmp_path: Path, run: Run, words: list[str], told: str
) -> None:
    code, _, err = run("drive", actor, short, "-o", tmp_path / "says.mp4", *words)
    assert code == 2
    assert told in " ".join(err.split())
    assert "remedy" in err
    assert not any(tmp_path.iterdir())
