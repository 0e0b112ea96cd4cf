"""The fit's first guess by the user's own Deep3DFaceRecon checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch

from metatalk.errors import MissingAssetError
from metatalk.fitting.config import FitConfig
from metatalk.fitting.deep3d_guess import deep3d_guess
from metatalk.fitting.deep3d_network import load_deep3d_network
from metatalk.fitting.geometry import align_keyframes, prepare_clip
from metatalk.fitting.residuals import Unknowns
from metatalk.landmarks.track import LandmarkTrack
from metatalk.media.ordered import read_pictures_in_order
from metatalk.morphable.camera import Camera
from metatalk.morphable.deep3d import check_deep3d_model
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.pose import euler_to_matrix
from metatalk.timing import FrameIndex

TERMS = "a Deep3DFaceRecon checkpoint: look up its terms; it was made with the Basel Face Model"


def checkpoint_source(config: FitConfig) -> Path | None:
    """The checkpoint that the fit is to begin with; None where it begins with landmarks.

    Raises:
        MissingAssetError: there is no such file.
    """
    if config.deep3d_checkpoint is None:
        return None
    path = Path(config.deep3d_checkpoint)
    if not path.is_file():
        raise MissingAssetError(
            f"there is no Deep3DFaceRecon checkpoint at {path}",
            "check fit.deep3d_checkpoint, or set it to null to begin with the landmarks",
        )
    return path


def guess_start(
    checkpoint: Path,
    clip: Path,
    index: FrameIndex,
    model: MorphableModel,
    landmarks: LandmarkTrack,
    size: tuple[int, int],
    config: FitConfig,
    device: torch.device,
) -> Unknowns:
    """Let the network look at the keyframes.

    Args:
        checkpoint: the network's file.
        clip: the footage.
        index: its frames.
        model: the Basel Face Model 2009.
        landmarks: of every frame.
        size: width and height of the picture, pixels.
        config: schedule and weights.
        device: where the network runs.

    Returns:
        The keyframes' state, on the CPU.

    Raises:
        ConfigError: the model is another one, or the file holds another network.
        MissingAssetError: the file cannot be opened safely.
        FittingError: no frame has a face.
    """
    check_deep3d_model(model)
    network = load_deep3d_network(checkpoint).to(device)
    prepared = prepare_clip(model, landmarks, size, float(index.rate), config)
    frames, aligned = prepared.keyframes, align_keyframes(prepared)
    pictures = [p.rgb() for p in read_pictures_in_order(clip, frames.tolist(), index)]
    camera = Camera(float(aligned.focal_px), *size)
    points = landmarks.points[frames]
    guess = deep3d_guess(network, model, pictures, points, landmarks.layout, camera)
    rotation = euler_to_matrix(guess.rotation)
    return Unknowns(guess.identity, aligned.focal_px, guess.expression, rotation, guess.translation)
