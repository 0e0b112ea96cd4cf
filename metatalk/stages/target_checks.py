"""Whether a clip suits the actor who is to speak in it."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from metatalk.errors import MediaError, MetatalkError
from metatalk.media.probe import probe_video
from metatalk.stages.artefacts import load_fit_errors
from metatalk.workspace.actor import ActorFolder
from metatalk.workspace.footage import remembered_clips

LOG = logging.getLogger(__name__)
_MOST_STRETCH = 1.03  # of pixels against the actor's; above it chins come out double
_MOST_WORSE = 1.25  # of a fit; other clips of the same face reached 1.09, other faces 1.31


def require_like_pixels(actor: Path, clip: Path) -> None:
    """Refuse a clip whose pixels have another shape than those that the actor was learned from.

    The face model and the networks know the actor's face as it lies in pixels, not as a screen
    shows it.

    Args:
        actor: the actor's folder.
        clip: where the actor is to speak.

    Raises:
        MediaError: the shapes differ, or the clip cannot be read.
    """
    try:
        own = probe_video(remembered_clips(actor)[0]).pixel_aspect
    except (MetatalkError, OSError, IndexError):  # not here: how well the face fits tells, too
        return
    asked = probe_video(clip).pixel_aspect
    if max(asked / own, own / asked) > _MOST_STRETCH:
        raise MediaError(
            f"{clip}: pixels {float(asked):.3g} times as wide as high;"
            f" the actor learned from pixels of {float(own):.3g}",
            "bring it into the actor's: ffmpeg -i CLIP -vf"
            f' "scale=trunc(iw*{asked / own}/2)*2:ih,setsar={own}" OUT',
        )


def warn_of_other_face(actor: Path, fitted: Path, clip: Path) -> None:
    """Warn of a clip that the actor's face fits much worse than the footage it was learned from.

    Args:
        actor: the actor's folder.
        fitted: the folder with the clip's artefacts.
        clip: its file.
    """
    own_mm, found_mm = _usual_error(actor), _usual_error(fitted)
    if own_mm > 0 and found_mm > _MOST_WORSE * own_mm:
        LOG.warning(
            "the actor's face fits %s worse than what it was learned from: landmarks lie %.2f mm"
            " off instead of %.2f; look whether it shows the same person, upright and unstretched",
            clip.name,
            found_mm,
            own_mm,
        )


def _usual_error(root: Path) -> float:
    """How far the mesh's landmarks lie from the found ones, mm; 0 where no face was fitted."""
    errors = load_fit_errors(ActorFolder(root).path("fit") / "errors.npz")["landmark_error_mm"]
    known = errors[np.isfinite(errors) & (errors > 0)]
    return float(np.median(known)) if len(known) else 0.0
