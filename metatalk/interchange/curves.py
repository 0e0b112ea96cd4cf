"""Curves for other programs: a row a frame as CSV, and the same with its conventions as JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from metatalk.interchange.take import Take
from metatalk.interchange.timecode import frame_timecode

TIME_COLUMNS = ("frame", "time_s", "timecode", "shot", "confidence")
ROTATION_COLUMNS = ("rotation_x_deg", "rotation_y_deg", "rotation_z_deg")
TRANSLATION_COLUMNS = ("translation_x_mm", "translation_y_mm", "translation_z_mm")
CAMERA_COLUMNS = ("focal_px", "focal_35mm_mm")
OTHER_COLUMNS = TIME_COLUMNS + ROTATION_COLUMNS + TRANSLATION_COLUMNS + CAMERA_COLUMNS
FULL_FRAME_MM = 36.0  # width of the film that lenses are compared on
FORMAT = "metatalk curves"
VERSION = 1

CONVENTIONS = {
    "time_s": "seconds from the clip's first frame; time is the same as an exact fraction",
    "timecode": "HH:MM:SS:FF from the clip's first frame, non-drop-frame",
    "expression": "activations of the face units, about 0 to 1; "
    "standard deviations where the face model has statistical modes (mode_00, ...)",
    "rotation_deg": "Euler angles about x, y, z in degrees, R = Rz Ry Rx, head to camera",
    "translation_mm": "of the point between the eyes, millimetres, camera frame",
    "axes": "camera frame: x right in the picture, y down, z away from the camera",
    "focal_px": "focal length in pixels of the footage; the axis meets the picture's middle",
    "focal_35mm_mm": "focal length on a film as wide as 36 mm, millimetres",
    "confidence": "0 where no face was found, up to 1",
    "shot": "number of the shot from 0; nothing is interpolated across a cut",
}


def focal_35mm(take: Take) -> float:
    """The lens that would see as much on 36 mm wide film, millimetres."""
    return take.camera.focal_px / take.camera.width * FULL_FRAME_MM


def write_csv(path: Path, take: Take) -> None:
    """Write a row a frame: time, pose, camera, then a column for every unit.

    Args:
        path: the file.
        take: what is written, at the times that are wanted.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*OTHER_COLUMNS, *take.names])
        lens = [_number(take.camera.focal_px), _number(focal_35mm(take))]
        degrees = np.degrees(take.track.rotation.numpy().astype(np.float64))
        columns = (degrees, take.track.translation.numpy(), take.track.expression.numpy())
        confidence = take.track.confidence.tolist()
        for frame, (time, code) in enumerate(_times(take)):
            turned, placed, face = ([_number(value) for value in rows[frame]] for rows in columns)
            head = [frame, _number(time, 9), code, take.shots[frame], _number(confidence[frame])]
            writer.writerow([*head, *turned, *placed, *lens, *face])


def write_json(path: Path, take: Take, facts: Mapping[str, Any]) -> None:
    """Write the same as `write_csv`, with the conventions and where it comes from.

    Args:
        path: the file.
        take: what is written, at the times that are wanted.
        facts: what is said about the whole: terms, face model, sources; plain JSON values.
    """
    camera = {
        "focal_px": take.camera.focal_px,
        "focal_35mm_mm": focal_35mm(take),
        "width": take.camera.width,
        "height": take.camera.height,
    }
    content = {
        "format": FORMAT,
        "version": VERSION,
        **facts,
        "fps": str(take.index.rate),
        "constant_rate": not take.index.is_variable,
        "conventions": CONVENTIONS,
        "camera": camera,
        "expression_names": list(take.names),
        "frames": list(_frames(take)),
    }
    with path.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.write("\n")


def _frames(take: Take) -> Iterator[dict[str, Any]]:
    track = take.track
    degrees = np.degrees(track.rotation.numpy().astype(np.float64)).round(6).tolist()
    placed = track.translation.numpy().astype(np.float64).round(6).tolist()
    face = track.expression.numpy().astype(np.float64).round(6).tolist()
    confidence = track.confidence.numpy().astype(np.float64).round(6).tolist()
    for frame, (time, code) in enumerate(_times(take)):
        yield {
            "frame": frame,
            "time": str(time),
            "time_s": round(float(time), 9),
            "timecode": code,
            "shot": int(take.shots[frame]),
            "confidence": confidence[frame],
            "rotation_deg": degrees[frame],
            "translation_mm": placed[frame],
            "expression": dict(zip(take.names, face[frame], strict=True)),
        }


def _times(take: Take) -> Iterator[tuple[Fraction, str]]:
    """Each frame's exact time and its time code, whole frames at the nominal rate."""
    for frame in range(len(take)):
        time = take.index.time(frame)
        yield time, frame_timecode(Fraction(round(time * take.index.rate)), take.index.rate)


def _number(value: float | Fraction, digits: int = 6) -> str:
    return f"{float(value):.{digits}f}"
