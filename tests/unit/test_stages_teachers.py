"""A user's own program as the teacher: what it is given, and how its failures are told."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from metatalk.errors import MediaError
from metatalk.lipsync.teachers import Scene
from metatalk.media.audio import read_sound
from metatalk.stages.teachers import CommandTeacher, fill_command

BEGIN = "import sys, shutil, time\nvideo, audio, out = sys.argv[1:]\n"
ECHO = "shutil.copy(video, out)\n"


@pytest.fixture
def scene() -> Scene:
    """Half a second of a bar that moves."""
    pictures = np.full((6, 64, 48, 3), 60, np.uint8)
    for number, picture in enumerate(pictures):
        picture[:, 8 * number : 8 * number + 8] = 220
    order = np.array([0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0, 1])
    boxes = np.tile(np.float32([8, 8, 40, 56]), (6, 1))
    samples = np.zeros(12 * 640, np.float32)
    return Scene(pictures, boxes, np.zeros(6, np.int64), order, Fraction(25), samples)


def teacher(folder: Path, body: str, timeout_s: float = 600.0) -> CommandTeacher:
    program = folder / "my model.py"
    program.write_text(BEGIN + body, encoding="utf-8")
    command = f"{sys.executable} '{program}' {{video}} {{audio}} {{out}}"
    return CommandTeacher(command, timeout_s)


def bars(shown: list[np.ndarray]) -> list[int]:
    return [int(picture[:, :, 1].mean(axis=0).argmax()) // 8 for picture in shown]


def test_a_program_that_echoes_gives_the_footage_back(tmp_path: Path, scene: Scene) -> None:
    shown = list(teacher(tmp_path, ECHO).show(scene))
    assert bars(shown) == scene.order.tolist()
    apart = np.stack(shown).astype(int) - scene.pictures[scene.order]
    assert np.abs(apart).mean() < 6  # what two encodings cost


def test_the_program_is_given_the_sentences_sound(tmp_path: Path, scene: Scene) -> None:
    kept = tmp_path / "kept.wav"
    list(teacher(tmp_path, ECHO + f"shutil.copy(audio, {str(kept)!r})\n").show(scene))
    assert len(read_sound(kept).samples) == len(scene.samples)


def test_a_failing_program_is_told_with_its_last_words(tmp_path: Path, scene: Scene) -> None:
    with pytest.raises(MediaError, match=r"(?s)code 3.*weights are missing"):
        list(teacher(tmp_path, "print('weights are missing')\nsys.exit(3)\n").show(scene))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("pass\n", "wrote no video"),
        ("open(out, 'w').write('no video')\n", "not a video"),
    ],
)
def test_an_answer_that_is_none_is_refused(
    tmp_path: Path, scene: Scene, body: str, told: str
) -> None:
    with pytest.raises(MediaError, match=told):
        list(teacher(tmp_path, body).show(scene))


def test_a_program_that_hangs_is_stopped(tmp_path: Path, scene: Scene) -> None:
    with pytest.raises(MediaError, match=r"did not answer within 0\.5 s"):
        list(teacher(tmp_path, "time.sleep(60)\n", timeout_s=0.5).show(scene))


def test_a_program_that_is_not_there_is_named(scene: Scene) -> None:
    absent = CommandTeacher("no-such-program {video} {audio} {out}")
    with pytest.raises(MediaError, match="no-such-program"):
        list(absent.show(scene))


REWRITE = """
from fractions import Fraction
from metatalk.media.video import read_pictures
from metatalk.media.writer import VideoWriter
pictures = list(read_pictures(video))
from metatalk.media.colour import ColourTags
from metatalk.stages.preview import as_picture
"""


def rewritten(tmp_path: Path, rows: str, rate: str, count: str = "len(pictures)") -> CommandTeacher:
    """A program that writes some of its rows, at another rate, as many as it says."""
    body = (
        REWRITE
        + f"""
first = pictures[0].rgb()[{rows}]
height, width = first.shape[:2]
rate = Fraction({rate})
with VideoWriter(out, width, height, rate, 1 / rate, ColourTags()) as writer:
    for number in range({count}):
        source = pictures[min(int(number / rate * 25), len(pictures) - 1)].rgb()[{rows}]
        writer.write(as_picture(source.copy(), number, number, ColourTags()), number)
"""
    )
    return teacher(tmp_path, body)


def test_an_answer_at_another_rate_is_read_by_its_times(tmp_path: Path, scene: Scene) -> None:
    shown = list(rewritten(tmp_path, ":", "50", "2 * len(pictures)").show(scene))
    assert bars(shown) == scene.order.tolist()


def test_an_answer_of_another_length_is_refused(tmp_path: Path, scene: Scene) -> None:
    with pytest.raises(MediaError, match=r"lasts 0\.20 s, the sentence 0\.48 s"):
        list(rewritten(tmp_path, ":", "25", "5").show(scene))


def test_an_answer_that_shows_another_part_is_refused(tmp_path: Path, scene: Scene) -> None:
    with pytest.raises(MediaError, match="48x32, not 48x64"):
        list(rewritten(tmp_path, ":32", "25").show(scene))


def test_a_larger_answer_is_made_smaller(tmp_path: Path, scene: Scene) -> None:
    doubled = ":].repeat(2, axis=0).repeat(2, axis=1)[:"
    shown = list(rewritten(tmp_path, doubled, "25").show(scene))
    assert shown[0].shape == (64, 48, 3)
    assert bars(shown) == scene.order.tolist()


def test_no_shell_reads_the_command() -> None:
    words = fill_command(
        "model --in={video} $(rm) ; {out}", {"video": Path("a b"), "out": Path("o")}
    )
    assert words == ["model", "--in=a b", "$(rm)", ";", "o"]
