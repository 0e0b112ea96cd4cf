"""The GLB and the OBJ, evaluated by readers that know nothing of our writer."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pygltflib
import pytest
import torch
from face_toys import CAMERA, UNITS, toy_model
from interchange_toys import PERSON, toy_index, toy_take
from scipy.spatial.transform import Rotation

from metatalk.interchange.gltf import build_glb, key_times, y_up_quaternions
from metatalk.interchange.meshes import frame_vertices, person_colours, write_obj
from metatalk.interchange.take import Take
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.pose import transform_points

MODEL = toy_model()
FACTS = {"synthetic": True}
BYTES = {5126: ("<f4", 4), 5125: ("<u4", 4)}
WIDTH = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}


class Reader:
    """glTF from its specification: nothing is taken from the writer."""

    def __init__(self, content: bytes) -> None:
        magic, version, length = struct.unpack("<4sII", content[:12])
        assert (magic, version, length) == (b"glTF", 2, len(content))
        size, kind = struct.unpack("<I4s", content[12:20])
        assert kind == b"JSON"
        self.scene: dict[str, Any] = json.loads(content[20 : 20 + size])
        blob_size, kind = struct.unpack("<I4s", content[20 + size : 28 + size])
        assert kind == b"BIN\0"
        assert size % 4 == blob_size % 4 == 0
        self.blob = content[28 + size :]
        assert len(self.blob) == blob_size

    def array(self, number: int) -> np.ndarray:
        accessor = self.scene["accessors"][number]
        view = self.scene["bufferViews"][accessor["bufferView"]]
        kind, size = BYTES[accessor["componentType"]]
        start = view["byteOffset"] + accessor.get("byteOffset", 0)
        assert start % size == 0
        count = accessor["count"] * WIDTH[accessor["type"]]
        assert count * size <= view["byteLength"]
        rows = np.frombuffer(self.blob, kind, count, start).reshape(accessor["count"], -1)
        if "min" in accessor:
            np.testing.assert_allclose(rows.min(0), accessor["min"], rtol=1e-6)
            np.testing.assert_allclose(rows.max(0), accessor["max"], rtol=1e-6)
        return rows.astype(np.float64)

    @property
    def primitive(self) -> dict[str, Any]:
        return self.scene["meshes"][0]["primitives"][0]

    def tracks(self, animation: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Key times, and values by path."""
        moves = self.scene["animations"][animation]
        found = {}
        for channel in moves["channels"]:
            sampler = moves["samplers"][channel["sampler"]]
            times = self.array(sampler["input"])[:, 0]
            found[channel["target"]["path"]] = self.array(sampler["output"]).reshape(len(times), -1)
        return times, found

    def vertices(self, key: int) -> np.ndarray:
        """(V, 3) metres in the scene at a key of the animation."""
        _, tracks = self.tracks()
        points = self.array(self.primitive["attributes"]["POSITION"])
        for weight, target in zip(tracks["weights"][key], self.primitive["targets"], strict=True):
            points = points + weight * self.array(target["POSITION"])
        if "rotation" in tracks:
            points = Rotation.from_quat(tracks["rotation"][key]).apply(points)
            points = points + tracks["translation"][key]
        return points


def read(model: MorphableModel = MODEL, take: Take | None = None, moving: bool = True) -> Reader:
    return Reader(build_glb(model, PERSON, take or toy_take(), moving, FACTS))


def in_camera_mm(points: np.ndarray) -> np.ndarray:
    return points * [1000.0, -1000.0, -1000.0]


def test_keys_show_the_fitted_face():
    take = toy_take()
    reader = read(take=take)
    for frame in (0, 3, 9):
        track = take.track
        points = MODEL.shape(PERSON.identity, track.expression[frame])
        points = transform_points(points, track.rotation[frame], track.translation[frame])
        found = in_camera_mm(reader.vertices(frame))
        np.testing.assert_allclose(found, points.numpy(), atol=1e-3)
    times, _ = reader.tracks()
    np.testing.assert_allclose(times, take.index.seconds(), atol=1e-7)


def test_the_camera_sees_what_ours_sees():
    reader = read()
    lens = reader.scene["cameras"][0]["perspective"]
    points = reader.vertices(4)
    assert (points[:, 2] < -lens["znear"]).all()  # it looks along -z
    down = math.tan(lens["yfov"] / 2)
    seen = points[:, :2] / -points[:, 2:] / (down * lens["aspectRatio"], down)  # NDC, y up
    pixels = (seen * (1, -1) + 1) / 2 * (CAMERA.width, CAMERA.height)
    expected = CAMERA.project(torch.from_numpy(in_camera_mm(points)))
    np.testing.assert_allclose(pixels, expected.numpy(), atol=1e-3)


def test_targets_have_the_units_names():
    mesh = read().scene["meshes"][0]
    assert mesh["extras"]["targetNames"] == list(UNITS)
    assert mesh["weights"] == [0.0] * len(UNITS)
    assert len(mesh["primitives"][0]["targets"]) == len(UNITS)


def test_triangles_and_normals_face_outward():
    reader = read()
    points = reader.array(reader.primitive["attributes"]["POSITION"])
    normals = reader.array(reader.primitive["attributes"]["NORMAL"])
    corners = reader.array(reader.primitive["indices"]).astype(int).reshape(-1, 3)
    np.testing.assert_array_equal(corners, MODEL.triangles.numpy())
    a, b, c = (points[corners[:, place]] for place in range(3))
    faces = np.cross(b - a, c - a)
    assert (faces[:, 2] > 0).mean() > 0.95  # the sheet looks at the viewer, who is at +z
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, atol=1e-5)
    assert ((normals[corners[:, 0]] * faces).sum(1) > 0).all()


def test_colours_are_linear():
    reader = read()
    colours = reader.array(reader.primitive["attributes"]["COLOR_0"])
    picture = person_colours(MODEL, PERSON)
    back = np.where(colours <= 0.0031308, 12.92 * colours, 1.055 * colours ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(back, picture, atol=1e-5)


def test_nothing_moves_across_a_cut():
    take = toy_take(8, cut=5)
    times, rows = key_times(take)
    assert rows.tolist() == [0, 1, 2, 3, 4, 4, 5, 6, 7]
    assert (np.diff(times) > 0).all()
    assert times[6] == np.float32(0.2)
    assert times[6] - times[5] < 1e-6
    found, tracks = read(take=take).tracks()
    np.testing.assert_array_equal(found, times)
    np.testing.assert_array_equal(tracks["weights"][4], tracks["weights"][5])


def test_quaternions_never_change_hemisphere():
    angles = np.zeros((200, 3))
    angles[:, 2] = (np.linspace(0, 6 * np.pi, 200) + np.pi) % (2 * np.pi) - np.pi
    quaternions = y_up_quaternions(angles)
    assert ((quaternions[1:] * quaternions[:-1]).sum(-1) > 0.9).all()


def test_a_still_head_stands_at_the_origin():
    take = toy_take()
    reader = read(take=take, moving=False)
    assert "cameras" not in reader.scene or not reader.scene["cameras"]
    expected = frame_vertices(MODEL, PERSON, take, 2, moving=False)
    np.testing.assert_allclose(reader.vertices(2), expected, atol=1e-7)


@pytest.mark.parametrize(("low", "high", "count"), [(0.0, 1.0, 1), (-0.2, 1.0, 3), (0.0, 2.5, 3)])
def test_weights_beyond_a_slider_get_a_range(low: float, high: float, count: int):
    take = toy_take()
    expression = take.track.expression.clamp(0, 1)
    expression[3, 1], expression[4, 2] = low, high
    take = replace(take, track=take.track.with_expression(expression))
    reader = read(take=take)
    assert len(reader.scene["animations"]) == count
    if count == 3:
        lowest, highest = (reader.tracks(number)[1]["weights"][0] for number in (1, 2))
        np.testing.assert_allclose(lowest, expression.numpy().min(0))
        np.testing.assert_allclose(highest, expression.numpy().max(0))


def test_statistical_modes_are_targets_too():
    names = tuple(f"mode_{number:02d}" for number in range(len(UNITS)))
    model = replace(MODEL, expression_names=names)
    take = replace(toy_take(), names=names)
    assert read(model, take).scene["meshes"][0]["extras"]["targetNames"] == list(names)


def test_one_frame_is_enough():
    take = toy_take(1)
    times, _ = read(take=take).tracks()
    assert times.tolist() == [0.0]


def test_the_file_says_that_it_is_synthetic():
    asset = read().scene["asset"]
    assert (asset["version"], asset["copyright"]) == ("2.0", MODEL.terms)
    assert asset["extras"] == FACTS


def test_a_library_reads_it(tmp_path: Path):
    path = tmp_path / "a.glb"
    path.write_bytes(build_glb(MODEL, PERSON, toy_take(), True, FACTS))
    scene = pygltflib.GLTF2().load(str(path))
    assert scene.meshes[0].extras["targetNames"] == list(UNITS)
    trimesh = pytest.importorskip("trimesh")
    loaded = trimesh.load(path, process=False)
    (mesh,) = loaded.geometry.values()
    neutral = frame_vertices(MODEL, PERSON, still_take(), 0, moving=False)
    np.testing.assert_allclose(mesh.vertices, neutral, atol=1e-6)
    assert len(mesh.faces) == len(MODEL.triangles)


def still_take() -> Take:
    take = toy_take(1)
    return replace(take, track=take.track.with_expression(torch.zeros(1, len(UNITS))))


@pytest.mark.parametrize("moving", [True, False])
def test_obj_is_the_fitted_face(tmp_path: Path, moving: bool):
    take = Take(UNITS, toy_take().track, toy_index(10, Fraction(25)), np.zeros(10, int), CAMERA)
    vertices = frame_vertices(MODEL, PERSON, take, 7, moving)
    colours = person_colours(MODEL, PERSON)
    write_obj(tmp_path / "a.obj", vertices, MODEL.triangles.numpy(), colours, ["metres"])
    words = [line.split() for line in (tmp_path / "a.obj").read_text().splitlines()]
    assert words[0] == ["#", "metres"]
    rows = np.array([[float(word) for word in line[1:]] for line in words if line[0] == "v"])
    np.testing.assert_allclose(rows[:, 3:], colours, atol=1e-4)
    corners = np.array([[int(word) for word in line[1:]] for line in words if line[0] == "f"])
    np.testing.assert_array_equal(corners - 1, MODEL.triangles.numpy())
    points = MODEL.shape(PERSON.identity, take.track.expression[7])
    if moving:
        points = transform_points(points, take.track.rotation[7], take.track.translation[7])
    np.testing.assert_allclose(in_camera_mm(rows[:, :3]), points.numpy(), atol=1e-3)
