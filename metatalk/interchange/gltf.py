"""One GLB file: the person's head, its morph targets, its movement and the camera."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pygltflib as gltf
from scipy.spatial.transform import Rotation

from metatalk import __version__
from metatalk.interchange.meshes import TO_Y_UP, person_colours, to_y_up_metres
from metatalk.interchange.take import Take, euler_to_rotation
from metatalk.morphable.coefficients import PersonCoefficients
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.normals import vertex_normals
from metatalk.shapes import check_shape

NEAR_M, FAR_M = 0.01, 100.0
ROUGHNESS = 0.7  # skin, without a map of its gloss
_TYPES = {1: gltf.SCALAR, 3: gltf.VEC3, 4: gltf.VEC4}


class _Buffer:
    """The file's one buffer as it grows, with an accessor for each array put into it."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.length = 0
        self.views: list[gltf.BufferView] = []
        self.accessors: list[gltf.Accessor] = []

    def add(self, array: np.ndarray, target: int | None = None, bounds: bool = False) -> int:
        """Put (N,) or (N, C) float32 or (N,) uint32 in; gives the number of its accessor.

        All these are whole words of four bytes, so that everything lies as glTF wants it.
        """
        array = np.ascontiguousarray(array)
        rows = array.reshape(len(array), -1)
        content = array.tobytes()
        self.views.append(
            gltf.BufferView(
                buffer=0, byteOffset=self.length, byteLength=len(content), target=target
            )
        )
        self.parts.append(content)
        self.length += len(content)
        self.accessors.append(
            gltf.Accessor(
                bufferView=len(self.views) - 1,
                byteOffset=0,
                componentType=gltf.UNSIGNED_INT if array.dtype == np.uint32 else gltf.FLOAT,
                count=len(rows),
                type=_TYPES[rows.shape[1]],
                min=rows.min(0).tolist() if bounds else None,
                max=rows.max(0).tolist() if bounds else None,
            )
        )
        return len(self.accessors) - 1


def build_glb(
    model: MorphableModel,
    person: PersonCoefficients,
    take: Take,
    moving: bool,
    facts: Mapping[str, Any],
) -> bytes:
    """Build a binary glTF 2.0 file.

    The scene is in metres, x right, y up, z towards the viewer; the camera stands at the origin
    and looks along -z. The mesh is the person's neutral face with one morph target for each
    expression, named as the face model names them (ARKit's names, or mode_00, ... whose weights
    count standard deviations). Its colours are the skin without light, linear as glTF wants
    them. The animation holds the weights and the head's rotation and translation at the take's
    own times; nothing is interpolated across a cut.

    Args:
        model: the face model.
        person: who.
        take: what the face does.
        moving: animate the head before the camera; else it stays upright at the origin and
            there is no camera.
        facts: what is said about the whole, for the asset's extras; plain JSON values.

    Returns:
        The file's content.

    Source: Khronos, glTF 2.0 specification, 3.6 to 3.11 and 4.4.
    """
    check_shape("expression", take.track.expression, "T E", E=len(model.expression_names))
    buffer = _Buffer()
    mesh = _mesh(buffer, model, person)
    head = gltf.Node(name="head", mesh=0)
    scene = gltf.GLTF2(
        asset=gltf.Asset(
            generator=f"metatalk {__version__}", copyright=model.terms, extras=dict(facts)
        ),
        scene=0,
        scenes=[gltf.Scene(name="take", nodes=[0, 1] if moving else [0])],
        nodes=[head, gltf.Node(name="camera", camera=0)] if moving else [head],
        cameras=[_camera(take)] if moving else [],
        meshes=[mesh],
        materials=[_material()],
        animations=[_animation(buffer, take, moving), *_ranges(buffer, take)],
        bufferViews=buffer.views,
        accessors=buffer.accessors,
        buffers=[gltf.Buffer(byteLength=buffer.length)],
    )
    scene.set_binary_blob(b"".join(buffer.parts))
    return b"".join(scene.save_to_bytes())


def _mesh(buffer: _Buffer, model: MorphableModel, person: PersonCoefficients) -> gltf.Mesh:
    neutral = model.neutral(person.identity)
    vertices = to_y_up_metres(neutral.numpy()).astype(np.float32)
    normals = vertex_normals(neutral, model.triangles).numpy() * TO_Y_UP
    corners = model.triangles.numpy().astype(np.uint32).reshape(-1)
    attributes = gltf.Attributes(
        POSITION=buffer.add(vertices, gltf.ARRAY_BUFFER, bounds=True),
        NORMAL=buffer.add(_unit_normals(normals), gltf.ARRAY_BUFFER),
        COLOR_0=buffer.add(_linear(person_colours(model, person)), gltf.ARRAY_BUFFER),
    )
    indices = buffer.add(corners, gltf.ELEMENT_ARRAY_BUFFER, bounds=True)
    basis = to_y_up_metres(model.expression_basis.numpy()).astype(np.float32)
    targets = [{"POSITION": buffer.add(moved, gltf.ARRAY_BUFFER, bounds=True)} for moved in basis]
    return gltf.Mesh(
        name=model.source,
        primitives=[
            gltf.Primitive(attributes=attributes, indices=indices, material=0, targets=targets)
        ],
        weights=[0.0] * len(basis),
        extras={"targetNames": list(model.expression_names)},
    )


def _animation(buffer: _Buffer, take: Take, moving: bool) -> gltf.Animation:
    times, rows = key_times(take)
    track = take.track
    tracks = {"weights": track.expression.numpy()[rows].reshape(-1)}
    if moving:
        tracks["rotation"] = y_up_quaternions(track.rotation.numpy())[rows]
        tracks["translation"] = to_y_up_metres(track.translation.numpy())[rows]
    return _tracks(buffer, "take", times, tracks)


def _ranges(buffer: _Buffer, take: Take) -> list[gltf.Animation]:
    """Animations of one key each, with the lowest and the highest weights; none where 0 to 1 do.

    Blender cuts a weight to its slider's range and makes that range as wide as an animation's
    first key alone asks for (seen with 5.0): without these it would flatten statistical modes.
    """
    weights = take.track.expression.numpy()
    ends = {"lowest weights": weights.min(0), "highest weights": weights.max(0)}
    if ends["lowest weights"].min() >= 0 and ends["highest weights"].max() <= 1:
        return []
    start = np.zeros(1, np.float32)
    return [_tracks(buffer, name, start, {"weights": end}) for name, end in ends.items()]


def _tracks(
    buffer: _Buffer, name: str, times: np.ndarray, tracks: Mapping[str, np.ndarray]
) -> gltf.Animation:
    """An animation of the head: values by what of it they move, all at the same (N,) seconds."""
    clock = buffer.add(times, bounds=True)
    animation = gltf.Animation(name=name)
    for number, (path, values) in enumerate(tracks.items()):
        output = buffer.add(values.astype(np.float32))
        animation.samplers.append(gltf.AnimationSampler(input=clock, output=output))
        target = gltf.AnimationChannelTarget(node=0, path=path)
        animation.channels.append(gltf.AnimationChannel(sampler=number, target=target))
    return animation


def key_times(take: Take) -> tuple[np.ndarray, np.ndarray]:
    """Times of the animation's keys; before each cut the last frame is held up to the cut.

    Args:
        take: T frames.

    Returns:
        (N,) float32 seconds, ascending, and (N,) the frame that each key shows; N is T and one
        more for each cut.
    """
    seconds = take.index.seconds().astype(np.float32)
    cuts = np.flatnonzero(np.diff(take.shots)) + 1  # first frames of new shots
    before = np.nextafter(seconds[cuts], np.float32(0))
    rows = np.insert(np.arange(len(take)), cuts, cuts - 1)
    return np.insert(seconds, cuts, before), rows


def y_up_quaternions(rotation: np.ndarray) -> np.ndarray:
    """Turn a head's rotation into glTF's quaternions.

    Args:
        rotation: (T, 3) Euler angles XYZ, radians, model -> camera.

    Returns:
        (T, 4) x, y, z, w in the scene's axes; neighbours never lie on opposite hemispheres.
    """
    flip = Rotation.from_matrix(np.diag(TO_Y_UP))
    quaternions: np.ndarray = (flip * euler_to_rotation(rotation) * flip).as_quat()
    turned = (quaternions[1:] * quaternions[:-1]).sum(-1) < 0
    signs = np.cumprod(np.concatenate([[1.0], np.where(turned, -1.0, 1.0)]))
    return quaternions * signs[:, None]


def _camera(take: Take) -> gltf.Camera:
    lens = take.camera
    return gltf.Camera(
        name="camera",
        type="perspective",
        perspective=gltf.Perspective(
            aspectRatio=lens.width / lens.height,
            yfov=2.0 * math.atan(lens.height / 2.0 / lens.focal_px),
            znear=NEAR_M,
            zfar=FAR_M,
        ),
    )


def _material() -> gltf.Material:
    surface = gltf.PbrMetallicRoughness(metallicFactor=0.0, roughnessFactor=ROUGHNESS)
    return gltf.Material(name="skin", pbrMetallicRoughness=surface, doubleSided=False)


def _unit_normals(normals: np.ndarray) -> np.ndarray:
    """(V, 3) float32; a vertex without a triangle gets one towards the viewer: none may be 0."""
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    whole = np.where(length > 0.5, normals / np.maximum(length, 1e-12), [0.0, 0.0, 1.0])
    return whole.astype(np.float32)


def _linear(colours: np.ndarray) -> np.ndarray:
    """Colours as in pictures to linear light; float32.

    Source: IEC 61966-2-1 (sRGB), the transfer function.
    """
    low, high = colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4
    return np.where(colours <= 0.04045, low, high).astype(np.float32)
