"""A clip taken apart: when its frames are, where the face is, and what it does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metatalk.config import Config
from metatalk.landmarks.track import LandmarkTrack
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import TrackCoefficients, load_coefficients
from metatalk.stages.artefacts import load_index, load_landmarks
from metatalk.stages.clip_artefacts import bring_up_to_date
from metatalk.stages.face_model import face_model_card
from metatalk.stages.fit import FIT, FIT_TARGET
from metatalk.stages.ingest import INGEST
from metatalk.stages.landmarks import LANDMARKS
from metatalk.stages.stage import ProgressFactory
from metatalk.stages.target_checks import require_like_pixels, warn_of_other_face
from metatalk.timing import FrameIndex
from metatalk.workspace.actor import ActorFolder
from metatalk.workspace.clip_places import clip_places
from metatalk.workspace.footage import find_footage, is_footage


@dataclass(frozen=True, eq=False)
class Footage:
    """A clip taken apart."""

    clip: Path
    index: FrameIndex
    landmarks: LandmarkTrack
    track: TrackCoefficients
    camera: Camera
    root: Path  # the folder that holds its artefacts


def sources_of(footage: Footage, config: Config, *artefacts: str) -> dict[str, Path]:
    """What a stage reads that measures a clip after it was taken apart.

    Args:
        footage: the clip.
        config: the actor's settings.
        artefacts: of the clip, by the names of their stages.

    Returns:
        Places by name: the artefacts', the clip's and the face model's card.

    Raises:
        MissingAssetError: an artefact is not there.
    """
    apart = ActorFolder(footage.root)
    sources = {name: apart.require(name) for name in artefacts}
    sources["clip"] = footage.clip
    sources["face_model"] = face_model_card(config.fit.face_model, config.landmarks)
    return sources


def open_footage(
    folder: ActorFolder,
    clip: Path | None,
    config: Config,
    rerun: frozenset[str],
    progress_factory: ProgressFactory,
    *,
    other_person: bool = False,
) -> Footage:
    """Take a clip apart, or find it taken apart already.

    Args:
        folder: the actor, trained.
        clip: a clip; None: the one that the actor was trained on.
        config: the actor's settings.
        rerun: stages to compute again, of another clip's.
        progress_factory: who is told how far each stage is.
        other_person: the clip shows somebody else: it is fitted with a person of its own.

    Returns:
        The clip.

    Raises:
        MetatalkError: whatever the user can mend.
    """
    root = folder.root
    if clip is None:
        clip = find_footage(root)
    elif other_person or not is_footage(root, clip):
        card = face_model_card(config.fit.face_model, config.landmarks)
        sources = {"clip": clip, "face_model": card}
        if not other_person:
            require_like_pixels(folder.root, clip)
            sources["actor"] = folder.path("fit")
        stages = [INGEST, LANDMARKS, FIT if other_person else FIT_TARGET]
        places = clip_places(folder, clip, other_person)
        root = bring_up_to_date(stages, places, sources, config, rerun, progress_factory)
        if not other_person:
            warn_of_other_face(folder.root, root, clip)
    return read_footage(root, clip)


def read_footage(root: Path, clip: Path) -> Footage:
    """Read a clip that was taken apart before.

    Args:
        root: the folder that holds its artefacts.
        clip: the clip.

    Returns:
        The clip.
    """
    artefacts = ActorFolder(root)
    _, track, camera = load_coefficients(artefacts.path("fit") / "coefficients.npz")
    return Footage(
        clip,
        load_index(artefacts.path("ingest") / "frames.npz"),
        load_landmarks(artefacts.path("landmarks") / "landmarks.npz"),
        track,
        camera,
        root,
    )
