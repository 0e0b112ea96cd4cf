"""Which format goes with which depth, size and name; and the settings that ask for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metatalk.compose.delivery_config import DeliveryConfig
from metatalk.errors import ConfigError, MediaError
from metatalk.media.codecs import CONTAINERS, SEQUENCES, choose_encoding, require_fitting
from metatalk.media.picture import CHROMA_420, CHROMA_422, CHROMA_444

SIZE = 256, 144


@pytest.mark.parametrize(
    ("source", "width", "bits", "chroma", "wanted"),
    [
        (8, 256, None, None, (8, CHROMA_420)),
        (10, 256, None, None, (10, CHROMA_420)),
        (12, 256, None, 422, (10, CHROMA_422)),
        (10, 256, 8, 444, (8, CHROMA_444)),
        (8, 255, None, None, (8, CHROMA_444)),
    ],
)
def test_depth_follows_the_footage(source, width, bits, chroma, wanted) -> None:
    for name in ("h264", "h265"):
        made = choose_encoding(name, bits, chroma, source, width, 144)
        assert (made.bits, made.shift) == wanted


@pytest.mark.parametrize(
    ("name", "path", "words"),
    [
        ("h264", "a.mxf", "H.264 cannot"),
        ("h265", "a", "without suffix"),
        ("prores422hq", "a.mp4", r"\.mov, \.mkv, \.mxf"),
        ("dnxhr_hq", "a.mkv", r"\.mov, \.mxf"),
        ("dnxhr_444", "a.mxf", r"one of \.mov"),
        ("png", "a.mov", "folder"),
        ("exr", "a.mp4", "folder"),
    ],
)
def test_a_name_that_does_not_fit_is_refused(
    tmp_path: Path, name: str, path: str, words: str
) -> None:
    with pytest.raises(MediaError, match=words) as caught:
        require_fitting(tmp_path / path, name)
    assert "drive.delivery.format" in caught.value.remedy


def test_a_sequence_does_not_go_into_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a file")
    with pytest.raises(MediaError, match="folder"):
        require_fitting(tmp_path / "a", "png")
    require_fitting(tmp_path / "b", "png")


def test_formats_of_the_settings_are_those_that_can_be_written() -> None:
    names = DeliveryConfig.__annotations__  # the words stand in one place of each room
    assert "format" in names
    for name in ("h264", "prores422hq", "prores4444", "dnxhr_hq", "dnxhr_hqx", "dnxhr_444"):
        DeliveryConfig(format=name)
        choose_encoding(name, None, None, 8, *SIZE)
        assert any(_fits(Path(f"a{ending}"), name) for ending in CONTAINERS)
    for name in SEQUENCES:
        DeliveryConfig(format=name)


def _fits(path: Path, name: str) -> bool:
    try:
        require_fitting(path, name)
    except MediaError:
        return False
    return True


def test_small_and_odd_sizes_are_refused_where_a_format_has_none() -> None:
    with pytest.raises(MediaError, match="from 256x120"):
        choose_encoding("dnxhr_hq", None, None, 8, 192, 108)
    with pytest.raises(MediaError, match="even number of columns"):
        choose_encoding("prores422hq", None, None, 8, 255, 144)
    assert choose_encoding("prores4444", None, None, 8, 255, 143).shift == CHROMA_444


@pytest.mark.parametrize(
    "words",
    [
        {"format": "dnxhr_hq", "bits": 10},
        {"bits": 12},
        {"format": "exr", "bits": 8},
        {"format": "prores4444", "chroma": 444},
        {"chroma": 411},
        {"first_number": -1},
    ],
)
def test_settings_that_contradict_each_other(words: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"drive\.delivery\.") as caught:
        DeliveryConfig(**words)
    assert caught.value.remedy
