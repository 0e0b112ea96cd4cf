"""Where the footage's fine texture is believed, and where it has been pulled out of shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metatalk.errors import ShapeError
from metatalk.render.trust import SPOILT, STEADY, TORN, trust_carried

SIZE = 64
INNER = np.s_[8:-8, 8:-8]


def mapped(slope: np.ndarray) -> np.ndarray:
    """(S, S, 2) the map of skin whose place in the footage is `slope` times its place now."""
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32) + 0.5 - SIZE / 2
    return (np.stack([columns, rows], -1) @ slope.T + SIZE / 2).astype(np.float32)


def turned(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def test_skin_that_kept_its_size_is_believed_up_to_the_edge():
    trust, less = trust_carried(mapped(np.eye(2)), SIZE)
    assert trust.dtype == less.dtype == np.float32
    np.testing.assert_allclose(less, 0.0, atol=1e-4)
    np.testing.assert_allclose(trust[INNER], 1.0, atol=1e-4)
    assert max(trust[0].max(), trust[-1].max(), trust[:, 0].max(), trust[:, -1].max()) < 0.5


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(1.0, 4.0), st.booleans(), st.booleans())
def test_stretch_is_measured_whichever_way_it_goes(
    before: float, after: float, scale: float, both: bool, squeezed: bool
):
    change = 1 / scale if squeezed else scale
    slope = turned(after) @ np.diag([change, change if both else 1.0]) @ turned(before)
    expected = np.clip(np.log(SPOILT / scale) / np.log(SPOILT / STEADY), 0, 1)
    whole = np.clip(np.log(TORN[1] / scale) / np.log(TORN[1] / TORN[0]), 0, 1)
    trust, less = trust_carried(mapped(slope), SIZE)
    np.testing.assert_allclose(trust[INNER], expected, atol=2e-3)
    np.testing.assert_allclose(less[INNER], whole - expected, atol=2e-3)


def test_skin_seen_in_a_mirror_is_not_believed():
    for weights in trust_carried(mapped(np.diag([-1.0, 1.0])), SIZE):
        assert np.abs(weights[INNER]).max() < 1e-6  # torn: all that is left is the network's own


def test_trust_fades_beside_what_is_not_known():
    carried = mapped(np.eye(2))
    carried[:, 32:] = np.nan
    trust, less = trust_carried(carried, SIZE)
    assert np.abs(less).max() < 1e-4
    assert (np.diff(trust[32, 8:]) <= 1e-6).all()
    assert trust[32, 32:].max() < 0.1
    assert trust[32, 24] > 0.99
    assert not np.any(trust_carried(np.full_like(carried, np.nan), SIZE))


def test_trust_has_no_steps():
    carried = mapped(np.eye(2))
    carried[:, 32:, 0] = carried[:, 31:32, 0] + 2.0 * (carried[:, 32:, 0] - carried[:, 31:32, 0])
    trust, less = trust_carried(carried, 256)  # a part of a larger crop
    assert trust[32, 20] > 0.99
    assert trust[32, 44] < 0.01
    assert less[32, 44] > 0.99
    for weights in (trust, less):
        assert np.abs(np.diff(weights[32])).max() < 0.25


def test_the_map_is_checked():
    with pytest.raises(ShapeError, match="carried"):
        trust_carried(np.zeros((4, 4, 3), np.float32), SIZE)
