"""Which side a crop gets, and what is said about it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metatalk.config import load_config, preset_names
from metatalk.render.config import LEAST_SCALE, MOST_SCALE, RenderConfig

EVERY = RenderConfig(max_size=768)


@pytest.mark.parametrize(
    ("face_px", "size"),
    [(40, 128), (128, 128), (143, 128), (145, 192), (160, 192), (310, 384), (338, 384),
     (500, 512), (600, 768), (863, 768), (2000, 768)],
)  # fmt: skip
def test_the_side_follows_the_face(face_px: float, size: int) -> None:
    assert EVERY.choose_size(face_px) == size


@given(st.floats(96, 768 / LEAST_SCALE))
def test_definition_is_kept_and_little_is_enlarged(face_px: float) -> None:
    scale = EVERY.choose_size(face_px) / face_px
    assert scale * (1 + 1e-9) >= LEAST_SCALE
    assert scale <= MOST_SCALE * (1 + 1e-9)
    assert EVERY.explain_size(face_px) == "" or math.isclose(scale, MOST_SCALE)


@given(st.floats(10, 3000), st.floats(1, 2))
def test_a_larger_face_has_no_smaller_crop(face_px: float, more: float) -> None:
    assert EVERY.choose_size(face_px * more) >= EVERY.choose_size(face_px)


@pytest.mark.parametrize(
    ("face_px", "config", "words"),
    [
        (332, RenderConfig(), ["332 px", "drawn at 256", "render.max_size=384", "--preset"]),
        (900, RenderConfig(max_size=512), ["drawn at 512", "render.max_size=768"]),
        (900, EVERY, ["drawn at 768", "largest of render.sizes"]),
        (60, EVERY, ["drawn at 128", "no sharper than the footage"]),
        (280, RenderConfig(), []),
        (100, EVERY, []),
    ],
)
def test_what_it_costs_is_said(face_px: float, config: RenderConfig, words: list[str]) -> None:
    said = config.explain_size(face_px)
    assert bool(said) == bool(words)
    assert all(word in said for word in words), said


def test_what_is_advised_helps() -> None:
    assert EVERY.choose_size(332) == 384
    assert RenderConfig(max_size=384).explain_size(332) == ""


def test_larger_presets_have_larger_crops() -> None:
    assert {"draft", "standard", "studio"} <= set(preset_names())
    sides = [load_config(name).render.max_size for name in ("draft", "standard", "studio")]
    assert sides == sorted(set(sides))
    for name in ("draft", "standard", "studio"):
        render = load_config(name).render
        assert render.max_size == max(render.allowed_sizes), name
