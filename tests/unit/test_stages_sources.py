"""Reconstructions found and mixed: every part comes from where it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from face_toys import CAMERA, toy_model, toy_track
from fit_folders import FRAMES, PERSON, TRACK, keep_fit

from metatalk.errors import ConfigError, MissingAssetError
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import PersonCoefficients, save_coefficients
from metatalk.stages import sources
from metatalk.stages.sources import Source, mix_sources, open_source, require_fitting


def test_a_fits_own_folder_is_enough(tmp_path: Path):
    root = keep_fit(tmp_path / "jane")
    for path in (root, root / "fit", root / "fit" / "coefficients.npz"):
        source = open_source(path)
        assert (source.path, source.root) == (path, root)
        assert (source.face_model, source.index) == ("anny", None)
        torch.testing.assert_close(source.track.expression, TRACK.expression)


@pytest.fixture
def two(tmp_path: Path) -> tuple[Source, Source]:
    """Two people whose every coefficient differs, the second's clip the shorter."""
    other = PersonCoefficients(torch.tensor([-1.0, 1.0, 0.5]), torch.ones(6))
    keep_fit(tmp_path / "a")
    keep_fit(tmp_path / "b", toy_track(FRAMES - 2, seed=5), other, Camera(700.0, 64, 48))
    return open_source(tmp_path / "a"), open_source(tmp_path / "b")


def test_parts_come_from_where_they_are_asked_for(two: tuple[Source, Source]):
    first, second = two
    parts: dict[str, Callable] = {
        "expression": lambda mixed: mixed.track.expression,
        "identity": lambda mixed: mixed.person.identity,
        "pose": lambda mixed: torch.cat((mixed.track.rotation, mixed.track.translation), 1),
        "light": lambda mixed: mixed.track.lighting,
        "texture": lambda mixed: mixed.person.texture,
    }
    assert set(parts) == set(sources.PARTS)
    brighter = replace(second, track=replace(second.track, lighting=2 * second.track.lighting))
    for asked in parts:
        mixed = mix_sources(first, {asked: brighter})
        for part, value in parts.items():
            origin = mix_sources(brighter if part == asked else first, {})
            found, expected = value(mixed), value(origin)
            rows = min(len(found), len(expected))
            torch.testing.assert_close(found[:rows], expected[:rows])
        assert mixed.stage is (brighter if asked == "pose" else first)


def test_the_shortest_clip_ends_a_mixture(two: tuple[Source, Source]):
    first, second = two
    for part in ("expression", "pose", "light"):
        assert len(mix_sources(first, {part: second}).track) == FRAMES - 2
        assert len(mix_sources(second, {part: first}).track) == FRAMES - 2
    for part in ("identity", "texture"):
        assert len(mix_sources(first, {part: second}).track) == FRAMES


def test_face_models_do_not_mix(two: tuple[Source, Source], tmp_path: Path):
    keep_fit(tmp_path / "basel", face_model="bfm2009")
    with pytest.raises(ConfigError, match=r"different face models \(anny, bfm2009\)"):
        mix_sources(two[0], {"expression": open_source(tmp_path / "basel")})
    wide = replace(TRACK, expression=torch.zeros(FRAMES, 9))
    save_coefficients(tmp_path / "nine.npz", PERSON, wide, CAMERA)
    with pytest.raises(ConfigError, match=r"different face models \(anny, unknown\)"):
        mix_sources(two[0], {"expression": open_source(tmp_path / "nine.npz")})
    with pytest.raises(ConfigError, match="9 expression and 6 texture") as caught:
        require_fitting(mix_sources(open_source(tmp_path / "nine.npz"), {}), toy_model())
    assert "fit.face_model" in caught.value.remedy


def test_sources_that_are_not_there(tmp_path: Path):
    with pytest.raises(MissingAssetError, match="no fitted face there"):
        open_source(tmp_path)
    (tmp_path / "edited.csv").write_text("time_s,jawOpen\n")
    with pytest.raises(ConfigError, match="holds curves") as caught:
        open_source(tmp_path / "edited.csv")
    assert "export DIR --from" in caught.value.remedy
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04")
    np.savez(tmp_path / "other.npz", points=np.zeros(3))
    for name in ("torn", "other"):
        with pytest.raises(MissingAssetError, match="not a file of coefficients"):
            open_source(tmp_path / f"{name}.npz")
