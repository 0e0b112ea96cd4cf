"""The person's head as meshes for other programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from metatalk.interchange.take import Take
from metatalk.morphable.coefficients import PersonCoefficients
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.pose import transform_points
from metatalk.shapes import check_shape

METRES_PER_MM = 1e-3
# Half a turn about x: no mirror, so triangles keep their orientation.
TO_Y_UP = np.array([1.0, -1.0, -1.0])


def to_y_up_metres(points: np.ndarray) -> np.ndarray:
    """Take points, or displacements, into the frame of every mesh that is exported.

    Args:
        points: (..., 3) millimetres; x right in the picture, y down, z away from the viewer.

    Returns:
        (..., 3) float64 metres; x right, y up, z towards the viewer.
    """
    check_shape("points", points, "... 3")
    converted: np.ndarray = np.asarray(points, np.float64) * (TO_Y_UP * METRES_PER_MM)
    return converted


def frame_vertices(
    model: MorphableModel, person: PersonCoefficients, take: Take, frame: int, moving: bool
) -> np.ndarray:
    """Vertices of the person in one frame.

    Args:
        model: the face model.
        person: who.
        take: what the face does.
        frame: which of its frames.
        moving: where the head is before the camera; else upright at the origin.

    Returns:
        (V, 3) float64 metres, y up.
    """
    track = take.track
    points = model.shape(person.identity, track.expression[frame])
    if moving:
        points = transform_points(points, track.rotation[frame], track.translation[frame])
    return to_y_up_metres(points.numpy())


def write_obj(
    path: Path, vertices: np.ndarray, triangles: np.ndarray, colours: np.ndarray, notes: list[str]
) -> None:
    """Write one mesh as Wavefront OBJ, with the colours behind the coordinates.

    Args:
        path: the file.
        vertices: (V, 3) metres, y up.
        triangles: (F, 3) vertex numbers from 0, counter-clockwise seen from outside.
        colours: (V, 3) RGB in [0, 1].
        notes: lines of comment for the top.
    """
    sizes = check_shape("vertices", vertices, "V 3")
    check_shape("colours", colours, "V 3", **sizes)
    check_shape("triangles", triangles, "F 3")
    lines = [f"# {note}" for note in notes]
    rows = np.concatenate([vertices, colours], axis=1).tolist()
    lines += ["v {:.7f} {:.7f} {:.7f} {:.4f} {:.4f} {:.4f}".format(*row) for row in rows]
    lines += ["f {} {} {}".format(*row) for row in (triangles + 1).tolist()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def person_colours(model: MorphableModel, person: PersonCoefficients) -> np.ndarray:
    """(V, 3) float64 the person's skin without light, RGB in [0, 1] as in pictures."""
    with torch.no_grad():
        colours: np.ndarray = model.albedo(person.texture).numpy().astype(np.float64)
    return colours
