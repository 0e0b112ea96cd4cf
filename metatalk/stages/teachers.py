"""A user's own lip-sync program as the teacher: video and sound in, video out."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from metatalk.errors import MediaError
from metatalk.lipsync.mel import SAMPLE_RATE
from metatalk.lipsync.teachers import Scene
from metatalk.media.audio import Sound, write_wav
from metatalk.media.colour import ColourTags
from metatalk.media.video import index_frames, read_pictures
from metatalk.media.writer import VideoWriter
from metatalk.stages.preview import as_picture

_CRF = 12  # what is lost here would be lost twice
_TAIL = 12  # lines of what the program said last
_FRAMES_OFF = 2  # by which its answer may be too short or too long
_REMEDY = "run the command by hand on a video and a recording of your own; pseudo.command is it"


@dataclass(frozen=True, eq=False)
class CommandTeacher:
    """Runs a command for every sentence, without a shell."""

    command: str  # with {video}, {audio} and {out}
    timeout_s: float = 600.0

    def show(self, scene: Scene) -> Iterator[np.ndarray]:
        """Show the actor speaking; see `Teacher.show`."""
        with TemporaryDirectory(prefix="metatalk-teacher-") as name:
            folder = Path(name)
            files = {key: folder / file for key, file in _FILES.items()}
            _write_scene(scene, files["video"], files["audio"])
            _run(fill_command(self.command, files), self.timeout_s)
            yield from _read_answer(files["out"], scene)


_FILES = {"video": "video.mp4", "audio": "audio.wav", "out": "out.mp4"}


def fill_command(command: str, files: dict[str, Path]) -> list[str]:
    """Put the files into a command's words; a name with a space in it stays one word.

    >>> fill_command("run.py --in={video} {audio}", {"video": Path("a b"), "audio": Path("c")})
    ['run.py', '--in=a b', 'c']
    """
    words = shlex.split(command)
    for key, path in files.items():
        words = [word.replace("{" + key + "}", str(path)) for word in words]
    return words


def _write_scene(scene: Scene, video: Path, audio: Path) -> None:
    colour, (width, height) = ColourTags(), scene.size
    write_wav(audio, Sound(scene.samples, SAMPLE_RATE))
    with VideoWriter(video, width, height, scene.rate, 1 / scene.rate, colour, crf=_CRF) as writer:
        for number, place in enumerate(scene.order):
            rgb = np.asarray(scene.pictures[place])
            writer.write(as_picture(rgb, number, number, colour), number)


def _run(words: list[str], timeout_s: float) -> None:
    """Run a program to its end; it, and what it started, does not outlive its time."""
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise MediaError(f"the teacher {words[0]!r} cannot be started: {error}", _REMEDY) from error
    try:
        said, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise MediaError(
            f"the teacher did not answer within {timeout_s:g} s",
            "set pseudo.command_timeout_s, or pseudo.max_sentence_s for shorter sentences",
        ) from error
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode != 0:
        lines = said.decode(errors="replace").splitlines()[-_TAIL:]
        tail = "".join(f"\n    {line}" for line in lines)
        raise MediaError(f"the teacher ended with code {process.returncode}:{tail}", _REMEDY)


def _read_answer(out: Path, scene: Scene) -> Iterator[np.ndarray]:
    """The program's pictures at the scene's times, whatever rate it wrote."""
    if not out.is_file():
        raise MediaError("the teacher wrote no video to {out}", _REMEDY)
    seconds = index_frames(out).seconds()
    frames, rate = len(scene.order), float(scene.rate)
    step_s = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1 / rate
    lasts_s = float(seconds[-1] - seconds[0]) + step_s
    if abs(lasts_s - frames / rate) > _FRAMES_OFF / rate + step_s:
        raise MediaError(
            f"the teacher's video lasts {lasts_s:.2f} s, the sentence {frames / rate:.2f} s",
            "let it write as many frames as its video has, and neither loop nor cut",
        )
    times = seconds - seconds[0]
    nearest = np.abs(np.arange(frames)[:, None] / rate - times).argmin(axis=1)
    repeats = np.bincount(nearest, minlength=len(times))
    for number, picture in enumerate(read_pictures(out)):
        if number >= len(repeats) or not repeats[number]:
            continue
        rgb = picture.rgb()
        if rgb.shape[:2] != scene.pictures.shape[1:3]:
            _check_shape_of(rgb, scene)
            rgb = cv2.resize(rgb, scene.size, interpolation=cv2.INTER_AREA)
        for _ in range(repeats[number]):
            yield rgb


def _check_shape_of(rgb: np.ndarray, scene: Scene) -> None:
    """A picture made larger or smaller is the same picture; one that was cropped is not."""
    width, height = scene.size
    if abs(rgb.shape[1] / rgb.shape[0] - width / height) > 0.02 * width / height:
        raise MediaError(
            f"the teacher's pictures are {rgb.shape[1]}x{rgb.shape[0]}, not {width}x{height}",
            "let it write the whole picture that it was given, not the face alone",
        )
