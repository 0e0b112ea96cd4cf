"""Which clip an actor was learned from: it is not copied, so its place is remembered."""

from __future__ import annotations

import json
import os
from pathlib import Path

from metatalk.errors import MediaError
from metatalk.workspace.digest import digest_file
from metatalk.workspace.manifest import write_json

FILE = "footage.json"


def remember_footage(root: Path, clip: Path) -> None:
    """Note where the training clip lies.

    Args:
        root: the actor folder.
        clip: the footage.
    """
    place = {"path": str(clip.resolve()), "digest": digest_file(clip)}
    write_json(root / FILE, place)


def find_footage(root: Path) -> Path:
    """Find the training clip again.

    Args:
        root: the actor folder.

    Returns:
        The clip, unchanged since training.

    Raises:
        MediaError: it was never noted, has gone, or is another file now.
    """
    note = root / FILE
    if not note.is_file():
        raise MediaError(f"{root} does not say which clip it was trained on", "give --target CLIP")
    stored = json.loads(note.read_text(encoding="utf-8"))
    clip = Path(stored["path"])
    if not os.access(clip, os.R_OK) or not clip.is_file():
        raise MediaError(
            f"the training clip is no longer at {clip}, or cannot be read",
            "put it back, or give it (or another clip of the actor) as --target",
        )
    if digest_file(clip) != stored["digest"]:
        raise MediaError(
            f"{clip} is not the file that the actor was trained on",
            "put that one back, or give a clip as --target",
        )
    return clip


def is_footage(root: Path, clip: Path) -> bool:
    """Whether a clip is the one that the actor was trained on, wherever it lies now."""
    note = root / FILE
    if not note.is_file():
        return False
    return digest_file(clip) == json.loads(note.read_text(encoding="utf-8"))["digest"]


def remembered_clips(root: Path) -> list[Path]:
    """Where the training clip lay, whether or not it still does: none where that is not known."""
    try:
        stored = json.loads((root / FILE).read_text(encoding="utf-8"))
        return [Path(stored["path"])]
    except (OSError, ValueError, KeyError, TypeError):
        return []
