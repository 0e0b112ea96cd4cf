"""Driving from a live stream: through pipes, to its end or until it is stopped."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from metatalk.media.audio import read_sound
from metatalk.media.video import index_frames, read_pictures

METATALK = [sys.executable, "-c", "from metatalk.cli import main; raise SystemExit(main())"]


@pytest.fixture(scope="module")
def words(recording: Path) -> bytes:
    """Two seconds to be said, as raw samples."""
    samples = read_sound(recording, 16000).samples
    return (samples * 32767).astype("<i2").tobytes()


def start(*words: object, **pipes: object) -> subprocess.Popen[bytes]:
    command = [*METATALK, *(str(word) for word in words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, **pipes)  # type: ignore[call-overload]


def test_a_pipe_is_said_on_standard_output(actor: Path, words: bytes) -> None:
    process = start("live", actor, "-", "-o", "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    out, err = process.communicate(words, timeout=6000)
    assert process.returncode == 0, err.decode()
    with av.open(io.BytesIO(out)) as container:
        kinds = [packet.stream.type for packet in container.demux() if packet.size]
    assert kinds.count("video") == 50
    assert "frames: 50" in err.decode()


@pytest.mark.parametrize("ending", ["mkv", "ts", "mp4"])
def test_a_stream_is_what_the_recording_would_be(
    actor: Path, recording: Path, tmp_path: Path, run, ending: str
) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / f"says.{ending}"
    code, stdout, err = run("live", actor, recording, "-o", out, "--json")
    assert code == 0, err
    metrics = json.loads(stdout)
    assert metrics["frames"] == len(index_frames(out)) == 50
    assert metrics["held_frames"] == 0
    assert "latency_ms_p50" not in metrics  # a file is read, not heard
    heard = read_sound(out, from_first_frame=True).samples
    said = read_sound(recording).samples
    count = min(len(heard), len(said))
    assert np.corrcoef(heard[:count], said[:count])[0, 1] > 0.98
    ledger = json.loads(out.with_name(f"{out.name}.ledger.json").read_text())
    assert ledger["synthetic"] is True
    assert "speech" in {entry["kind"] for entry in ledger["entries"]}


def test_the_lower_face_speaks_and_the_footage_goes_on(
    actor: Path, clip: Path, recording: Path, tmp_path: Path, run
) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "says.mkv"
    assert run("live", actor, recording, "-o", out, "drive.crf=0")[0] == 0
    for filmed, made in zip(read_pictures(clip), read_pictures(out), strict=False):
        assert np.array_equal(filmed.planes[0][:250], made.planes[0][:250])  # brow and hair
        assert not np.array_equal(filmed.planes[0], made.planes[0])


def test_drive_takes_a_pipe_for_a_stream(actor: Path, words: bytes, tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "says.mkv"
    process = start("drive", actor, "-", "-o", out, stdin=subprocess.PIPE)
    _, err = process.communicate(words, timeout=6000)
    assert process.returncode == 0, err.decode()
    assert len(index_frames(out)) == 50
    code, _, err = run("drive", actor, "-", "-o", out, "--length", "video")
    assert code == 2
    assert "--length" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stream_that_is_stopped_can_be_played(
    actor: Path, words: bytes, tmp_path: Path, number: signal.Signals
) -> None:
    out, pipe = tmp_path / "says.mkv", tmp_path / "pipe"
    os.mkfifo(pipe)
    process = start("live", actor, pipe, "-o", out, "--late", "wait")
    speaker = os.open(pipe, os.O_RDWR)  # does not wait for the other end
    try:
        os.write(speaker, words)
        end = time.monotonic() + 600
        while not (out.exists() and out.stat().st_size > 100_000):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate(timeout=600)
    finally:
        os.close(speaker)
        process.kill()
    assert process.returncode == 0, err.decode()
    assert 5 <= len(index_frames(out)) <= 50


def test_a_reader_who_leaves_ends_the_stream(actor: Path, words: bytes) -> None:
    process = start("live", actor, "-o", "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(words)
    process.stdin.flush()
    assert process.stdout.read(20_000)
    process.stdout.close()
    try:
        for _ in range(20):
            process.stdin.write(words)
        process.stdin.close()
    except BrokenPipeError:
        pass
    assert process.stderr is not None
    err = process.stderr.read().decode()
    assert process.wait(600) == 0, err
    assert "nobody reads" in err


def test_what_cannot_be_is_told(actor: Path, recording: Path, tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    for words, told in (
        ((actor, tmp_path / "none", "-o", tmp_path / "out.mkv"), "no such file or pipe"),
        ((actor, recording, "-o", tmp_path / "out.avi"), "--format"),
        ((tmp_path / "nobody", recording, "-o", tmp_path / "out.mkv"), "no such actor"),
        ((actor, recording, "-o", actor / "fit" / "out.mkv"), "part of an actor"),
        ((actor, recording, "drive.live.late=never", "-o", tmp_path / "out.mkv"), "drop"),
    ):
        code, _, err = run("live", *words)
        assert code == 2
        assert told in " ".join(err.split())
    empty = start("live", actor, "-", "-o", tmp_path / "out.mkv", stdin=subprocess.DEVNULL)
    _, err = empty.communicate(timeout=600)
    assert empty.returncode == 2
    assert "there was no sound" in err.decode()
