"""The index groups name the points that they say they name."""

from __future__ import annotations

import pytest

from metatalk.errors import ConfigError
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.points import IBUG68, MEDIAPIPE478, PointGroups, point_groups


@pytest.mark.parametrize("groups", [MEDIAPIPE478, IBUG68], ids=lambda groups: groups.layout)
def test_groups_hold_distinct_points_of_the_layout(groups: PointGroups):
    for name, indices in vars(groups).items():
        if isinstance(indices, tuple):
            assert len(set(indices)) == len(indices), name
            assert all(0 <= index < groups.count for index in indices), name
    assert set(groups.lips) <= set(groups.lower_face)
    assert not set(groups.rigid) & set(groups.lower_face) - {33}  # iBUG's 33 is under the nose
    assert set(groups.lip_gap) <= set(groups.lips_inner)
    assert groups.mouth_corners[0] == groups.lips_outer[0]
    assert groups.chin in groups.jaw


def test_rings_agree_with_the_meshs_own_connections():
    mesh = pytest.importorskip("mediapipe.python.solutions.face_mesh_connections")
    groups = MEDIAPIPE478
    assert _edges(groups.lips_outer) | _edges(groups.lips_inner) == _pairs(mesh.FACEMESH_LIPS)
    assert _edges(groups.right_eye) == _pairs(mesh.FACEMESH_RIGHT_EYE)
    assert _edges(groups.left_eye) == _pairs(mesh.FACEMESH_LEFT_EYE)
    assert _edges(groups.oval) == _pairs(mesh.FACEMESH_FACE_OVAL)
    assert _edges(groups.right_iris[1:]) == _pairs(mesh.FACEMESH_RIGHT_IRIS)


def test_unknown_layout_names_those_that_exist():
    with pytest.raises(ConfigError, match="ibug68"):
        point_groups("dlib5")


@pytest.mark.parametrize("bad", [{"face": -1}, {"max_faces": 0}, {"min_confidence": 0.0}])
def test_settings_out_of_range_are_refused(bad: dict[str, float]):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        LandmarksConfig(**bad)


def _edges(ring: tuple[int, ...]) -> set[frozenset[int]]:
    return {frozenset(pair) for pair in zip(ring, ring[1:] + ring[:1], strict=True)}


def _pairs(connections: frozenset[tuple[int, int]]) -> set[frozenset[int]]:
    return {frozenset(pair) for pair in connections}
