"""Folders of speech: LRS2, LibriSpeech, or any tree; which recordings, by whom, saying what."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from metatalk.errors import ConfigError, MissingAssetError

SPEECH_SUFFIXES = frozenset(
    {".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".aac"}
    | {".mp4", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".avi", ".m4v"}
)
_LISTS = "filelists"
_LIBRI = re.compile(r"(\d+)-(\d+)-\d+")  # speaker, chapter, sentence
_PROSE = re.compile(r"^text:\s*", re.IGNORECASE)  # how LRS2's transcripts begin
_TRANSCRIPTS = (".txt", ".lab")


@dataclass(frozen=True)
class Recording:
    """One file of a corpus."""

    name: str  # path inside the corpus, with forward slashes
    speaker: str  # as far as the layout tells


def find_recordings(corpus: Path, split: str | None = None) -> list[Recording]:
    """List the recordings of a corpus.

    Args:
        corpus: folder that is searched, subfolders included.
        split: a part of it: a list `filelists/SPLIT.txt` of LRS2, or a folder; None: all of it.

    Returns:
        The recordings in a fixed order.

    Raises:
        MissingAssetError: the folder is not there, or holds no recording.
        ConfigError: there is no such split.
    """
    if not corpus.is_dir():
        raise MissingAssetError(f"there is no speech folder {corpus}", "correct pseudo.corpus")
    paths = sorted(p for p in corpus.rglob("*") if p.suffix.lower() in SPEECH_SUFFIXES)
    names = [path.relative_to(corpus).as_posix() for path in paths]
    if split is not None:
        names = _in_split(corpus, split, names)
    if not names:
        place = corpus if split is None else f"{corpus}, split {split}"
        raise MissingAssetError(
            f"no recording lies in {place}",
            f"pseudo.corpus takes a folder of {', '.join(sorted(SPEECH_SUFFIXES))} files",
        )
    return [Recording(name, speaker_of(name)) for name in names]


def speaker_of(name: str) -> str:
    """Tell who speaks from a recording's place in the corpus.

    LibriSpeech numbers its speakers; LRS2 and most others give each a folder. Files that lie
    loose in the corpus are taken for one speaker each.

    >>> speaker_of("train-clean-100/84/121123/84-121123-0000.flac")
    '84'
    >>> speaker_of("main/5535415699068794046/00001.mp4")
    '5535415699068794046'
    """
    path = PurePosixPath(name)
    match = _LIBRI.fullmatch(path.stem)
    if match and path.parts[-3:-1] == match.groups():
        return match[1]
    return path.parent.name if len(path.parts) > 1 else path.stem


def read_words(path: Path) -> str | None:
    """Read what is said in a recording, where it is written beside it; None where it is not."""
    match = _LIBRI.fullmatch(path.stem)
    if match:
        return _chapter(path.with_name(f"{match[1]}-{match[2]}.trans.txt")).get(path.stem)
    for suffix in _TRANSCRIPTS:
        beside = path.with_suffix(suffix)
        if beside.is_file():
            lines = beside.read_text(encoding="utf-8", errors="replace").splitlines()
            words = _PROSE.sub("", lines[0]).strip() if lines else ""
            return words or None
    return None


def _in_split(corpus: Path, split: str, names: list[str]) -> list[str]:
    listing = corpus / _LISTS / f"{split}.txt"
    if listing.is_file():
        lines = listing.read_text(encoding="utf-8").splitlines()
        wanted = {line.split()[0] for line in lines if line.strip()}
        folder = "pretrain" if split == "pretrain" else "main"
        stems = {name: PurePosixPath(name).with_suffix("") for name in names}
        wanted |= {f"{folder}/{entry}" for entry in wanted}
        return [name for name in names if str(stems[name]) in wanted]
    if (corpus / split).is_dir():
        prefix = split.rstrip("/") + "/"
        return [name for name in names if name.startswith(prefix)]
    lists = sorted(path.stem for path in (corpus / _LISTS).glob("*.txt"))
    folders = sorted(path.name for path in corpus.iterdir() if path.is_dir())
    raise ConfigError(
        f"{corpus} has neither {_LISTS}/{split}.txt nor a folder {split}",
        f"set pseudo.split to one of {', '.join(lists or folders) or 'none: leave it out'}",
    )


@functools.lru_cache(maxsize=64)
def _chapter(path: Path) -> dict[str, str]:
    """The sentences of a chapter of LibriSpeech."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {name: words for name, _, words in (line.partition(" ") for line in lines)}
