"""What is asked of a drive: contradictions are told before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metatalk.errors import ConfigError, MediaError, MetatalkError
from metatalk.stages.drive_order import DriveOrder
from metatalk.stages.performer import Performer
from metatalk.stages.script import Script

ACTOR, OUT, WORDS = Path("actor"), Path("out.mp4"), Path("words.wav")


def order(**more: Any) -> DriveOrder:
    return DriveOrder(ACTOR, **{"output": OUT, "audio": WORDS, **more})


@pytest.mark.parametrize(
    ("more", "kind", "told"),
    [
        ({"audio": None}, ConfigError, "nothing to say"),
        ({"segments": "1-2", "changed_from": WORDS}, ConfigError, "--changed-from"),
        (
            {"audio": None, "performer": Performer(OUT), "changed_from": WORDS},
            ConfigError,
            "two recordings",
        ),
        ({"patch": Path("out.mp4")}, MediaError, "one name"),
        ({"markers": (Path("a/../m.edl"), Path("m.edl"))}, MediaError, "one name"),
    ],
)
def test_contradictions_are_told(
    more: dict[str, Any], kind: type[MetatalkError], told: str
) -> None:
    with pytest.raises(kind, match=told):
        order(**more)


def test_every_file_is_known() -> None:
    clip, mouth, before = Path("clip.mp4"), Path("mouth.csv"), Path("before.wav")
    whole = order(
        target=clip,
        expression=mouth,
        script=Script(phones=Path("p.TextGrid")),
        changed_from=before,
        patch=Path("patch.mov"),
        markers=(Path("m.edl"), Path("m.otio")),
        plot=Path("path.png"),
    )
    assert whole.sources == [WORDS, mouth, before, Path("p.TextGrid"), clip]
    assert [path.name for path in whole.outputs] == [
        "out.mp4", "patch.mov", "m.edl", "m.otio", "path.png",
    ]  # fmt: skip
    said = order(script=Script(transcript="mary", file=Path("said.txt")))
    assert said.sources == [WORDS, Path("said.txt")]
    acted = order(performer=Performer(clip), target=None)
    assert acted.clips == [None, clip]
    assert acted.sources == [WORDS, clip]
    assert acted.outputs == [OUT]
