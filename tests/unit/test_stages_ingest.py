"""Ingest: a clip with sound, without, and with a sound track that is of no use."""

from __future__ import annotations

import json
import logging
from fractions import Fraction
from pathlib import Path

import av
import pytest
from media_clips import make_clip

from metatalk.media.audio import read_sound
from metatalk.stages.artefacts import load_index
from metatalk.stages.ingest import INGEST
from metatalk.stages.stage import no_progress
from metatalk.workspace.manifest import Metrics


def ingest(clip: Path) -> tuple[Metrics, Path]:
    """The stage's metrics and its folder."""
    out = clip.parent / "ingest"
    out.mkdir()
    return INGEST.compute({"clip": clip}, None, out, no_progress), out


def broken_sound(tmp_path: Path) -> Path:
    """A clip whose every packet of sound is noise."""
    whole = make_clip(tmp_path / "whole.mkv", 10, sound_start_s=Fraction(0))
    clip = tmp_path / "broken.mkv"
    with av.open(str(whole)) as source, av.open(str(clip), "w") as target:
        tracks = {s.index: target.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.size == 0:
                continue
            if packet.stream.type == "audio":
                noise = av.Packet(b"\x55" * packet.size)
                noise.pts, noise.dts, noise.time_base = packet.pts, packet.dts, packet.time_base
                noise.stream = tracks[packet.stream.index]
                target.mux(noise)
            else:
                packet.stream = tracks[packet.stream.index]
                target.mux(packet)
    return clip


def early_sound(tmp_path: Path) -> Path:
    """A clip whose sound is over before its first frame."""
    pts = [100 + t for t in range(10)]
    return make_clip(tmp_path / "early.mkv", 10, pts=pts, sound_start_s=Fraction(0))


def test_sound_and_times_are_kept(tmp_path: Path):
    metrics, out = ingest(make_clip(tmp_path / "a.mp4", 10, sound_start_s=Fraction(0)))
    assert metrics["frames"] == len(load_index(out / "frames.npz")) == 10
    assert metrics["sound_s"] == read_sound(out / "sound.wav").duration_s > 0.3


def test_a_silent_film_has_no_sound(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    metrics, out = ingest(make_clip(tmp_path / "a.mp4", 10))
    assert "sound_s" not in metrics
    assert not (out / "sound.wav").exists()
    assert not caplog.records


@pytest.mark.parametrize("make", [broken_sound, early_sound])
def test_a_useless_sound_track_leaves_the_picture(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make
):
    clip = make(tmp_path)
    with caplog.at_level(logging.WARNING):
        metrics, out = ingest(clip)
    assert (metrics["frames"], metrics["sound_s"]) == (10, 0.0)
    assert not (out / "sound.wav").exists()
    assert len(load_index(out / "frames.npz")) == 10
    assert json.loads((out / "video.json").read_text())["has_audio"] is True
    said = [each for each in caplog.records if each.name == "metatalk.stages.ingest"]
    assert len(said) == 1
    assert clip.name in said[0].message
    assert "sound track" in said[0].message
