"""An actor whose training clip can be looked at as a whole, without a film or a hand model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from face_toys import CAMERA
from mouth_folders import fill_actor
from mouth_toys import PERSON, mouth_model

from metatalk.landmarks.hands import Hand, HandFinder
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.stages import occlusion
from metatalk.stages.footage import Footage, read_footage
from metatalk.workspace.actor import ActorFolder
from metatalk.workspace.footage import remember_footage


class NoHands(HandFinder):
    """Looks for nothing."""

    def find(self, picture: np.ndarray) -> list[Hand]:
        return []


def open_toy(
    folder: Path,
    frames: int,
    monkeypatch: pytest.MonkeyPatch,
    track: TrackCoefficients | None = None,
) -> tuple[ActorFolder, Footage]:
    """A toy actor and its training clip taken apart; `track` in place of the folder's own fit."""
    fill_actor(folder / "actor", 32, frames)
    clip, card = folder / "clip.mp4", folder / "model.json"
    clip.write_bytes(b"film")
    card.write_text("{}")
    remember_footage(folder / "actor", clip)
    if track is not None:
        monkeypatch.setattr(occlusion, "load_coefficients", lambda _: (PERSON, track, CAMERA))
    monkeypatch.setattr(occlusion, "open_face_model", lambda *_: mouth_model())
    monkeypatch.setattr("metatalk.stages.footage.face_model_card", lambda *_: card)
    monkeypatch.setattr(occlusion, "HandFinder", NoHands)
    actor = ActorFolder(folder / "actor")
    return actor, read_footage(actor.root, clip)
