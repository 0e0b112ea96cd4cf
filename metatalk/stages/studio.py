"""The actor as trained, put before the footage's camera, with their own footage as a library."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from metatalk.compose.blend import find_window
from metatalk.compose.fallback.foreground_masks import Foreground
from metatalk.compose.grade import ShotGrades
from metatalk.compose.revoice import Studio
from metatalk.compose.seam.grain import Grain, measure_grain, pick_pairs
from metatalk.config import Config
from metatalk.media.ordered import read_pictures_in_order
from metatalk.morphable.coefficients import TrackCoefficients, load_coefficients
from metatalk.morphable.model import MorphableModel
from metatalk.neural.infer import build_network, prepare_for_rendering
from metatalk.neural.matching import describe_looks, find_steady_sources
from metatalk.render.scene import Scene
from metatalk.stages.artefacts import load_crop_plan, load_weights
from metatalk.stages.device import choose_device
from metatalk.stages.footage import Footage
from metatalk.stages.library import Material, open_dated_crops, open_material
from metatalk.workspace.actor import ActorFolder


@dataclass(frozen=True, eq=False)
class OpenStudio:
    """A studio, and what it takes from the footage and the actor."""

    studio: Studio
    transforms: np.ndarray  # (T, 2, 3) frame px to crop px, of the footage's frames
    library: Material | None  # what texture is taken from; None for networks that take none


def open_studio(
    folder: ActorFolder,
    footage: Footage,
    config: Config,
    model: MorphableModel,
    grades: ShotGrades | None = None,
    standing: Foreground | None = None,
) -> OpenStudio:
    """Put an actor before a clip's camera.

    Args:
        folder: the actor, trained.
        footage: the clip that is to speak.
        config: the actor's own settings.
        model: the face model.
        grades: of the clip's shots; None: all are the actor's own.
        standing: what stands before the face; None: nothing.

    Returns:
        The studio.
    """
    person, _, _ = load_coefficients(folder.path("fit") / "coefficients.npz")
    crops = load_crop_plan(folder.path("render") / "crops.json")
    render = config.render
    scene = Scene(model, person, footage.camera, crops.size, render.grow_px, render.backend)
    weights = load_weights(folder.path("train_renderer") / "generator.safetensors")
    network = build_network(config.neural, weights)
    shots = footage.landmarks.shots
    library = _open_library(folder, config, model)
    transforms = scene.transforms(footage.track, crops.layout, render.steady_frames, shots)
    ready = prepare_for_rendering(network, choose_device(config.device))
    grain = None
    if config.drive.seam.grain > 0:
        grain = _footage_grain(footage, transforms, crops.size)
    studio = Studio(scene, ready, config.drive, library, grain, standing, grades)
    return OpenStudio(studio, transforms, library)


def _footage_grain(footage: Footage, transforms: np.ndarray, size: int) -> Grain | None:
    """Measure the footage's grain in some pairs of neighbouring frames."""
    first = pick_pairs(footage.landmarks.shots, footage.track.is_trusted.numpy())
    wanted = np.stack([first, first + 1], 1).ravel().tolist()
    pictures = read_pictures_in_order(footage.clip, wanted, footage.index)

    def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for frame, picture, after in zip(first, pictures, pictures, strict=False):
            window = find_window(transforms[frame], size, picture.width, picture.height)
            if window is not None:
                yield picture.rgb(window.box), after.rgb(window.box)

    return measure_grain(pairs())


def choose_sources(library: Material, track: TrackCoefficients) -> np.ndarray:
    """Choose the frames of a library whose texture is carried to each frame of a result.

    Args:
        library: the actor's footage.
        track: (N) the result's faces, in order of time.

    Returns:
        (N,) rows of the library.
    """
    wanted = describe_looks(library.scene.model, track)
    return find_steady_sources(wanted, library.looks, library.blur, library.frames)


def _open_library(folder: ActorFolder, config: Config, model: MorphableModel) -> Material | None:
    if config.neural.network != "carried" or not config.neural.carried:
        return None
    inputs = {name: folder.path(name) for name in ("ingest", "landmarks", "fit", "render")}
    return open_material(inputs, open_dated_crops(inputs), model, config.render)
