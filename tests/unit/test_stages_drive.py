"""A drive is refused before any work where its result could not be kept; what it is made of."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from metatalk.compose.config import DriveConfig
from metatalk.compose.delivery_config import DeliveryConfig
from metatalk.config import Config
from metatalk.errors import MediaError, MetatalkError, MissingAssetError
from metatalk.stages import drive as drive_stage
from metatalk.stages import drive_parts
from metatalk.stages.drive import drive_actor
from metatalk.stages.drive_order import DriveOrder
from metatalk.stages.performer import Performer


class WorkBegunError(Exception):
    """The work has begun."""


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The settings with which the work was begun, which then ends."""
    seen: list[Config] = []

    def prepare(order: DriveOrder, config: Config, *_: Any) -> None:
        seen.append(config)
        raise WorkBegunError

    monkeypatch.setattr(drive_stage, "prepare_drive", prepare)
    monkeypatch.setattr(drive_stage, "require_trained", lambda *_: None)
    monkeypatch.setattr(drive_stage, "find_footage", lambda root: root.parent / "joe.mp4")
    film = SimpleNamespace(rate=Fraction(25), timecode=None, duration_s=60.0)
    monkeypatch.setattr(drive_parts, "probe_video", lambda clip: film)
    return seen


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An actor and a recording, as far as names go."""
    (tmp_path / "jane" / "fit").mkdir(parents=True)
    (tmp_path / "jane" / "fit" / "manifest.json").write_text("{}")
    (tmp_path / "words.wav").write_bytes(b"words")
    (tmp_path / "joe.mp4").write_bytes(b"joe")
    (tmp_path / "shot").mkdir()
    return tmp_path


def order(place: Path, **more: Any) -> DriveOrder:
    fixed = {"output": place / "out.mp4", "audio": place / "words.wav", **more}
    return DriveOrder(place / "jane", **fixed)


def delivered(**delivery: Any) -> Config:
    return Config(drive=DriveConfig(delivery=DeliveryConfig(**delivery)))


def state(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if path.name != ".lock"
    }


@pytest.mark.parametrize(
    ("more", "delivery"),
    [
        ({"patch": "mouth.mp4"}, {}),
        ({"patch": "mouth.mov"}, {"patch": "png"}),
        ({"patch": "jane/mouth/.."}, {}),
        ({"patch": "words.wav"}, {}),
        ({"patch": "", "output": "shot/out.mp4"}, {}),
        ({"markers": ("places.xml",)}, {}),
        ({"markers": ("places.edl", "places")}, {}),
        ({"markers": ("jane/fit/places.csv",)}, {}),
        ({"plot": "words.wav"}, {}),
        ({"plot": "joe.mp4", "performer": "joe.mp4"}, {}),
        ({"plot": "shot"}, {}),
        ({"plot": "jane/config.json"}, {}),
        ({"output": "words.wav"}, {}),
        ({"output": "joe.mp4", "target": "joe.mp4"}, {}),
        ({"output": "jane"}, {"format": "png"}),
        ({"output": "jane/targets/shot"}, {"format": "png"}),
        ({"plot": "way.pdf"}, {}),
        ({"output": "out.mov"}, {"format": "png"}),
        ({"output": "shot"}, {}),
        ({"output": "out.mp4"}, {"format": "prores422hq"}),
        ({"output": "out.avi"}, {"format": "h265"}),
        ({"output": ""}, {"format": "png"}),  # the recording lies in it
    ],
    ids=str,
)
def test_a_place_that_does_not_do_is_told_before_any_work(
    place: Path, begun: list[Config], more: dict[str, Any], delivery: dict[str, Any]
) -> None:
    named: dict[str, Any] = {}
    for key, value in more.items():
        named[key] = tuple(place / one for one in value) if key == "markers" else place / value
    if "performer" in named:
        named["performer"] = Performer(named["performer"])
    before = state(place)
    with pytest.raises(MetatalkError) as refusal:
        drive_actor(order(place, **named), delivered(**delivery))
    assert refusal.value.remedy
    assert not begun
    assert state(place) == before


@pytest.mark.parametrize(
    ("more", "delivery"),
    [
        ({}, {}),
        ({"output": "out.mov", "patch": "mouth"}, {"format": "prores422hq"}),
        ({"output": "out.mkv", "patch": "mouth.mov"}, {"format": "h265"}),
        ({"output": "shot", "patch": "shot/mouth", "markers": ("shot/a.csv",)}, {"format": "exr"}),
        ({"output": "shot"}, {"format": "png"}),
        ({"patch": "shot"}, {}),
        ({"output": "jane/report/out.mp4"}, {}),
        ({"plot": "way.PNG"}, {}),
        ({"markers": ("a.edl", "a.resolve.edl", "A.FCPXML", "a.otio")}, {}),
    ],
    ids=str,
)
def test_places_that_do_are_not_refused(
    place: Path, begun: list[Config], more: dict[str, Any], delivery: dict[str, Any]
) -> None:
    named: dict[str, Any] = {
        key: tuple(place / one for one in value) if key == "markers" else place / value
        for key, value in more.items()
    }
    with pytest.raises(WorkBegunError):
        drive_actor(order(place, **named), delivered(**delivery))
    assert len(begun) == 1


@pytest.mark.parametrize(
    "asked", [{"segments": "nonsense"}, {"preview": "soon"}, {"segments": "70-80"}], ids=str
)
def test_times_that_are_none_are_told_before_any_work(
    place: Path, begun: list[Config], asked: dict[str, str]
) -> None:
    before = state(place)
    with pytest.raises(MetatalkError) as refusal:
        drive_actor(order(place, **asked), Config())
    assert refusal.value.remedy
    assert not begun
    assert state(place) == before


@pytest.mark.parametrize(
    ("more", "length"),
    [
        ({}, "audio"),
        ({"preview": "1"}, "audio"),
        ({"segments": "1-2"}, "video"),
        ({"changed_from": Path("old.wav")}, "video"),
    ],
)
def test_a_film_of_which_a_part_changes_stays_as_long_as_it_is(
    place: Path, begun: list[Config], more: dict[str, Any], length: str
) -> None:
    with pytest.raises(WorkBegunError):
        drive_actor(order(place, **more), Config())
    assert begun[0].drive.length == length
    assert begun[0].drive.crf == Config().drive.crf


def test_the_footage_that_only_the_actor_knows_is_not_written_over(
    place: Path, begun: list[Config]
) -> None:
    with pytest.raises(MediaError, match="to work from"):
        drive_actor(order(place, output=place / "joe.mp4"), Config())
    assert (place / "joe.mp4").read_bytes() == b"joe"


@pytest.mark.parametrize(
    ("option", "more"),
    [
        ("-o", {"output": Path("no/out.mp4")}),
        ("--patch", {"patch": Path("no/mouth.mov")}),
        ("--plot", {"plot": Path("no/way.png")}),
        ("--markers", {"markers": (Path("no/look.otio"),)}),
    ],
)
def test_a_place_that_cannot_be_written_is_told_by_its_option(
    place: Path, begun: list[Config], option: str, more: dict[str, Any]
) -> None:
    (place / "no").write_text("a file")
    under = lambda path: place / path if isinstance(path, Path) else tuple(map(under, path))  # noqa: E731
    with pytest.raises(MediaError) as refused:
        drive_actor(order(place, **{key: under(path) for key, path in more.items()}), Config())
    assert refused.value.remedy == f"give {option} another place"
    assert not begun


def test_a_preview_does_not_replace_the_whole_film(
    place: Path, begun: list[Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = place / "out.mp4"
    out.write_bytes(b"an hour")
    with pytest.raises(MediaError, match="a preview would replace it"):
        drive_actor(order(place, preview="1"), Config())
    out.rename(place / "mouth.mov")
    with pytest.raises(MediaError, match="a preview would replace it") as refused:
        drive_actor(order(place, preview="1", patch=place / "mouth.mov"), Config())
    assert "--patch" in refused.value.remedy
    (place / "mouth.mov").rename(out)
    film = SimpleNamespace(rate=Fraction(25), timecode=None, duration_s=3.04)
    monkeypatch.setattr(drive_parts, "probe_video", lambda clip: film)
    with pytest.raises(WorkBegunError):  # an earlier preview, which this one replaces
        drive_actor(order(place, preview="1"), Config())


def test_a_preview_does_not_replace_a_long_sequence(place: Path, begun: list[Config]) -> None:
    (place / "stills").mkdir()
    sheet = {"count": 100, "rate": "25", "comment": "synthetic: made"}
    (place / "stills" / "stills.json").write_text(json.dumps(sheet))
    asked = order(place, output=place / "stills", preview="1")
    with pytest.raises(MediaError, match="a preview would replace it"):
        drive_actor(asked, delivered(format="png"))
    (place / "stills" / "stills.json").write_text(json.dumps({**sheet, "count": 75}))
    with pytest.raises(WorkBegunError):
        drive_actor(asked, delivered(format="png"))


@pytest.mark.parametrize("more", [{}, {"preview": "1"}, {"segments": "1-2"}])
def test_parts_of_an_actor_that_was_never_trained_are_no_matter(
    place: Path, more: dict[str, Any]
) -> None:
    with pytest.raises(MissingAssetError, match="no finished"):
        drive_actor(order(place, **more), Config())
