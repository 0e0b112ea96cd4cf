"""Another picture's eyes come to lie where the own ones were, and nobody sees the rim."""

from __future__ import annotations

import numpy as np
import pytest
from eye_toys import Painted, face_places, paint_face

from metatalk.compose.eyes.windows import EyeWindow, cut_window, replace_eyes, rim_misfit
from metatalk.render.eyes import eye_distance

BROWN, BLUE = (0.25, 0.12, 0.05), (0.1, 0.2, 0.6)


def window(
    picture: Painted, shift: tuple[float, float] = (0.0, 0.0), scale: float = 1.0
) -> EyeWindow:
    """The eyes of a painted face whose places are known."""
    cut = cut_window(picture, face_places(shift, scale))
    assert cut is not None
    return cut


def blended(own: EyeWindow, donor: EyeWindow, *more: object) -> np.ndarray:
    """(h, w, 3) the own window with the patch over it, in levels."""
    patch = replace_eyes(own, donor, *more)  # type: ignore[arg-type]
    assert patch is not None
    assert (patch.left, patch.top) == (own.left, own.top)
    alpha = patch.alpha[..., None]
    return 255 * ((1 - alpha) * own.picture.astype(np.float32) + alpha * patch.picture)


def levels(picture: Painted, cut: EyeWindow) -> np.ndarray:
    return picture.rgb(cut.box).astype(np.float32)


def test_a_pictures_own_eyes_leave_it_as_it_is():
    picture = paint_face()
    own = window(picture)
    assert np.abs(blended(own, own) - levels(picture, own)).max() < 1
    assert rim_misfit(own.rim, own.rim) < 1e-3


def test_the_donors_eyes_are_shown_and_nothing_else_changes():
    own = window(paint_face(iris=BROWN))
    wanted = paint_face(iris=BLUE)
    made = blended(own, window(wanted))
    np.testing.assert_allclose(made, levels(wanted, own), atol=2.5)
    patch = replace_eyes(own, window(wanted))
    assert patch is not None
    outside = np.ones(patch.alpha.shape, bool)
    for eye in range(2):
        distance = eye_distance(own.places, 0, eye, own.box)
        outside &= distance > 1
        assert (patch.alpha[distance < 0.55] > 0.99).all()
    assert (patch.alpha[outside] == 0).all()
    brow = patch.alpha[int(58 - own.top), int(120 - own.left)]
    assert brow < 0.05


@pytest.mark.parametrize("scale", [1.0, 1.06])
def test_what_the_mesh_gets_wrong_is_found_in_the_pictures(scale: float):
    own = window(paint_face(iris=BROWN))
    donor = paint_face((5.3, -2.6), scale, iris=BLUE)
    exact = window(donor, (5.3, -2.6), scale)
    wrong = window(donor, (7.1, -1.4), scale)  # two pixels off
    wanted = levels(paint_face(iris=BLUE), own)
    eyes = np.abs(blended(own, wrong) - wanted)
    assert eyes.mean() < 0.5
    assert np.percentile(eyes, 99.5) < 8
    assert np.abs(blended(own, exact) - wanted).mean() < 0.5
    assert rim_misfit(own.rim, wrong.rim) < 0.15


def test_light_is_matched_around_the_eyes():
    own = window(paint_face(iris=BROWN))
    made = blended(own, window(paint_face(iris=BLUE, light=-0.08)))
    wanted = levels(paint_face(iris=BLUE), own)
    skin = np.zeros(made.shape[:2], bool)
    for eye in range(2):
        distance = eye_distance(own.places, 0, eye, own.box)
        skin |= (distance > 0.75) & (distance < 1)
    assert np.abs(made - wanted)[skin].mean() < 1.5  # they were twenty levels apart


def test_two_donors_are_mixed():
    brown, blue, dark = (paint_face(iris=iris) for iris in (BROWN, BLUE, (0.0, 0.0, 0.0)))
    own, place = window(brown), (90 - window(brown).top, 120 - window(brown).left)
    mixed = blended(own, window(blue), window(dark), 0.25)[place]
    np.testing.assert_allclose(mixed, 0.75 * 255 * np.array(BLUE), atol=2)


def test_pictures_that_have_nothing_in_common_are_told():
    own = window(paint_face())
    assert rim_misfit(own.rim, window(paint_face(iris=BLUE)).rim) < 0.1
    assert rim_misfit(own.rim, window(paint_face(light=0.1)).rim) < 0.2
    assert rim_misfit(own.rim, window(paint_face(seed=5)).rim) > 0.7
    covered = paint_face().pixels.copy()
    covered[60:130, 90:150] = (200, 150, 120)  # a hand over one eye
    assert rim_misfit(own.rim, window(Painted(covered)).rim) > 0.7


def test_eyes_that_cannot_be_seen_are_not_replaced():
    picture = paint_face()
    assert cut_window(picture, face_places((500, 0))) is None
    assert cut_window(picture, face_places((float("nan"), 0))) is None
    half_out = cut_window(picture, face_places((-200, 0)))  # one eye lies beside the picture
    assert half_out is not None
    own = window(picture)
    assert replace_eyes(half_out, own) is None
    assert rim_misfit(half_out.rim, own.rim) == np.inf


def test_deep_pictures_keep_their_depth():
    class Deep(Painted):
        def rgb_float(self, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
            return super().rgb_float(box) + np.float32(1 / 1023)

    flat, deep = window(paint_face()), window(Deep(paint_face().pixels))
    difference = deep.picture.astype(np.float32) - flat.picture.astype(np.float32)
    np.testing.assert_allclose(difference, 1 / 1023, atol=6e-4)
