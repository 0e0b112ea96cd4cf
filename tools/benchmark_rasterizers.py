"""Time the rasterisers on a face model's head, in one run: ours, and PyTorch3D's where it is there.

python tools/benchmark_rasterizers.py [--model anny] [--threads N]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from metatalk.landmarks.config import LandmarksConfig
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import PersonCoefficients, TrackCoefficients
from metatalk.morphable.lighting import ambient_light
from metatalk.morphable.model import MorphableModel
from metatalk.render.backend import why_missing
from metatalk.render.layers import LAYERS, FrameLayers
from metatalk.render.lower_face import project_to_crop
from metatalk.render.rasterize import Fragments, rasterize
from metatalk.render.scene import Scene
from metatalk.stages.face_model import open_face_model

# name, camera, distance of the head: a crop that it fills, and a portrait in full HD
VIEWS = (
    ("256x256", Camera(360.0, 256, 256), 420.0),
    ("1920x1080", Camera(2400.0, 1920, 1080), 900.0),
)
LEAST_S = 1.0  # of work timed, unless once takes longer


def main() -> None:
    """Print milliseconds a frame, frames a second and ratios."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--model", default="anny")
    words.add_argument("--threads", type=int, default=None, help="default: one for each core")
    asked = words.parse_args()
    model = open_face_model(asked.model, LandmarksConfig())
    threads = asked.threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    print(f"{asked.model}: {len(model.triangles)} triangles, {threads} threads")
    for name, camera, away in VIEWS:
        _compare(name, camera, model, _track(model, away), threads)


def _compare(
    name: str, camera: Camera, model: MorphableModel, track: TrackCoefficients, threads: int
) -> None:
    person = PersonCoefficients(
        torch.zeros(len(model.identity_basis)), torch.zeros(len(model.texture_basis))
    )
    scene = Scene(model, person, camera, 256, backend="numba")
    points = project_to_crop(scene.vertices(track), camera, np.eye(2, 3)[None])
    corners, size = model.triangles.numpy().astype(np.int32), (camera.height, camera.width)
    ours = _seconds(lambda: rasterize(points, corners, *size, True, threads))
    _tell(f"{name} ours", ours)
    _tell(f"{name} a shaded frame, all in all", _seconds(lambda: _draw(scene, track, ["shaded"])))
    _tell(f"{name} all six layers", _seconds(lambda: _draw(scene, track, LAYERS)))
    if reason := why_missing():
        print(f"{name} PyTorch3D: not installed, not compared ({reason})")
        return
    from metatalk.render.pytorch3d_backend import rasterize_with_pytorch3d

    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        see = lambda: rasterize_with_pytorch3d(points, corners, *size, True, None, device)  # noqa: B023, E731
        theirs = _seconds(see)
        _tell(f"{name} PyTorch3D, {device}", theirs)
        same = _agreement(rasterize(points, corners, *size, True), see())
        print(f"{name} PyTorch3D, {device}: {theirs / ours:.1f} x ours; {same:.4%} pixels agree")


def _track(model: MorphableModel, away: float) -> TrackCoefficients:
    return TrackCoefficients(
        torch.zeros(1, len(model.expression_names)),
        torch.tensor([[0.05, 0.3, 0.02]]),
        torch.tensor([[0.0, 0.0, away]]),
        ambient_light().expand(1, 3, 9),
        torch.ones(1),
    )


def _draw(scene: Scene, track: TrackCoefficients, layers: list[str] | tuple[str, ...]) -> None:
    FrameLayers(scene, track, 200.0).draw(layers)


def _seconds(work: Callable[[], object]) -> float:
    """The median time of a call, after one that compiles and fills caches."""
    work()
    times: list[float] = []
    while sum(times) < LEAST_S:
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _tell(what: str, seconds: float) -> None:
    print(f"{what}: {1e3 * seconds:.1f} ms, {1 / seconds:.0f} frames/s")


def _agreement(ours: Fragments, theirs: Fragments) -> float:
    seen = ours.covered | theirs.covered
    return float((ours.triangle == theirs.triangle)[seen].mean())


if __name__ == "__main__":
    main()
