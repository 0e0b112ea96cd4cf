"""Where what is measured of a clip lies: with the actor, or aside, in the user's cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metatalk.workspace.actor import ActorFolder
from metatalk.workspace.cache import cache_folder
from metatalk.workspace.digest import digest_file, digest_path
from metatalk.workspace.output import TARGETS

DIGITS = 16  # of a digest, in a folder's name
ASIDE = "clips"  # the part of the cache that holds artefacts of clips


@dataclass(frozen=True)
class ClipPlaces:
    """The two folders that may hold the artefacts of one clip."""

    actor: ActorFolder
    name: str  # from the clip's content

    @property
    def own(self) -> Path:
        """In the actor's folder; the place of choice."""
        return self.actor.root / TARGETS / self.name

    @property
    def aside(self) -> Path:
        """In the cache, where the actor's folder cannot be written.

        Named after the actor's fit, which all of it is made from, and not after the folder: the
        same actor under another mount is the same, and one that was fitted anew is another.
        """
        fitted = digest_path(self.actor.path("fit"))[-DIGITS:]
        return cache_folder() / ASIDE / fitted / self.name


def clip_places(actor: ActorFolder, clip: Path, other_person: bool = False) -> ClipPlaces:
    """Name the places for what is measured of a clip.

    Args:
        actor: whose clip it is, or who is driven by it.
        clip: the clip; its content is read.
        other_person: it shows somebody else, and is fitted with a person of its own.

    Returns:
        The places, made or not.

    Raises:
        MissingAssetError: the clip cannot be read.
    """
    return ClipPlaces(actor, digest_file(clip)[-DIGITS:] + ("-other" if other_person else ""))
