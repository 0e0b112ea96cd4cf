"""A clip that does not suit the actor is refused, or told of."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metatalk.errors import MediaError
from metatalk.media.probe import VideoInfo, probe_video
from metatalk.stages import target_checks
from metatalk.stages.target_checks import require_like_pixels, warn_of_other_face
from metatalk.workspace.footage import remember_footage


def fitted(folder: Path, errors_mm: Any) -> Path:
    (folder / "fit").mkdir(parents=True)
    (folder / "fit" / "manifest.json").write_text("{}")
    np.savez(folder / "fit" / "errors.npz", landmark_error_mm=np.asarray(errors_mm, float))
    return folder


@pytest.fixture
def film(tmp_path: Path) -> Path:
    presenter = Path(target_checks.__file__).parents[1] / "presenter" / "presenter.mp4"
    return Path(shutil.copy(presenter, tmp_path / "film.mp4"))


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> dict[str, Fraction]:
    """Shapes of pixels by the file's name; the files are one and the same film."""
    known: dict[str, Fraction] = {}

    def probe(path: Path) -> VideoInfo:
        return replace(probe_video(path), pixel_aspect=known.get(path.name, Fraction(1)))

    monkeypatch.setattr(target_checks, "probe_video", probe)
    return known


@pytest.mark.parametrize(("own", "asked"), [("1", "4/3"), ("16/15", "1"), ("1", "8/9")])
def test_stretched_pixels_are_refused_with_the_way_out(
    own: str, asked: str, tmp_path: Path, film: Path, shapes: dict[str, Fraction]
) -> None:
    other = film.with_name("other.mp4")
    other.write_bytes(film.read_bytes() + b"\0")
    remember_footage(tmp_path, film)
    shapes.update({film.name: Fraction(own), other.name: Fraction(asked)})
    with pytest.raises(MediaError, match="times as wide as high") as refused:
        require_like_pixels(tmp_path, other)
    assert f"setsar={Fraction(own)}" in refused.value.remedy
    assert "scale=trunc(iw*" in refused.value.remedy  # most codecs want an even width
    wider = Fraction(refused.value.remedy.split("iw*")[1].split("/2)")[0])
    assert wider == Fraction(asked) / Fraction(own)


def test_like_pixels_pass(tmp_path: Path, film: Path, shapes: dict[str, Fraction]) -> None:
    other = film.with_name("other.mp4")
    other.write_bytes(film.read_bytes() + b"\0")
    remember_footage(tmp_path, film)
    shapes.update({film.name: Fraction(4, 3), other.name: Fraction(1351, 1000)})
    require_like_pixels(tmp_path, other)


def test_an_actor_whose_clip_has_gone_is_not_refused(
    tmp_path: Path, film: Path, shapes: dict[str, Fraction]
) -> None:
    shapes[film.name] = Fraction(4, 3)
    require_like_pixels(tmp_path, film)


def test_an_actor_whose_clip_may_not_be_read_is_not_refused(
    tmp_path: Path, film: Path, shapes: dict[str, Fraction], monkeypatch: pytest.MonkeyPatch
) -> None:
    remember_footage(tmp_path, film)
    shapes["other.mp4"] = Fraction(4, 3)

    def refuse(path: Path) -> VideoInfo:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(target_checks, "probe_video", refuse)
    require_like_pixels(tmp_path, film.with_name("other.mp4"))


def test_another_face_is_told_with_figures(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = fitted(tmp_path / "own", [0.9, 1.0, np.nan, 0.0])
    other = fitted(tmp_path / "other", [1.3, 1.2, 1.25, np.nan])
    with caplog.at_level(logging.WARNING):
        warn_of_other_face(own, other, Path("b.mp4"))
    assert "b.mp4" in caplog.text
    assert "1.25 mm off instead of 0.95" in caplog.text


@pytest.mark.parametrize("errors_mm", [[1.0, 1.1, 5.0], [np.nan, 0.0], []])
def test_the_same_face_is_not(
    errors_mm: list[float], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = fitted(tmp_path / "own", [0.9, 1.0])
    with caplog.at_level(logging.WARNING):
        warn_of_other_face(own, fitted(tmp_path / "other", errors_mm), Path("b.mp4"))
        warn_of_other_face(fitted(tmp_path / "lost", []), own, Path("b.mp4"))
    assert caplog.text == ""
