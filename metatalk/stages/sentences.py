"""The sentences of pseudo video: which recordings they are, and how they lie on disk."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metatalk.errors import ConfigError, MediaError, MissingAssetError
from metatalk.fitting.utterance import Utterance
from metatalk.lipsync.config import PseudoConfig
from metatalk.lipsync.mel import SAMPLE_RATE
from metatalk.lipsync.pseudo import choose_sentences, find_speech, missing_teacher
from metatalk.media.audio import audio_duration
from metatalk.workspace.actor import disk_errors_remedied
from metatalk.workspace.manifest import Metrics, write_json

LOG = logging.getLogger(__name__)
LISTING = "corpus.json"  # in the actor folder


@dataclass(frozen=True)
class Sentence:
    """A recording that the actor is to say."""

    number: int  # among the chosen ones
    path: Path
    start_s: float  # seconds of speech that come before it
    duration_s: float


def teacher_sources(config: PseudoConfig, actor: Path) -> dict[str, Path]:
    """Find the teacher and list its corpus, so that both are part of the stage's cause.

    Args:
        config: the stage's section.
        actor: the actor folder, where the listing is kept; it is made.

    Returns:
        The stage's further sources by name; none where the stage is skipped.

    Raises:
        MissingAssetError: the checkpoint or the corpus is not there.
    """
    if missing_teacher(config) is not None:
        return {}
    checkpoint, listing = Path(str(config.checkpoint)), actor / LISTING
    if not checkpoint.is_file():
        raise MissingAssetError(f"there is no file {checkpoint}", "correct pseudo.checkpoint")
    with disk_errors_remedied(actor):
        actor.mkdir(parents=True, exist_ok=True)
        list_corpus(Path(str(config.corpus)), listing)
    return {"checkpoint": checkpoint, "corpus": listing}


def list_corpus(corpus: Path, listing: Path) -> None:
    """Write down which recordings a corpus holds: their digest would take hours, this does not.

    Args:
        corpus: folder of speech.
        listing: the JSON file to write: [path inside the corpus, bytes] of each recording.

    Raises:
        MissingAssetError: the folder is not there, or holds no recording.
    """
    found = find_speech(corpus)
    write_json(listing, [[str(path.relative_to(corpus)), path.stat().st_size] for path in found])


def plan_sentences(listing: Path, corpus: Path, config: PseudoConfig) -> list[Sentence]:
    """Choose the recordings to be said; looks into as many as could be wanted, not into all.

    Args:
        listing: from `list_corpus`.
        corpus: the folder it was made of.
        config: how much speech, and of which length.

    Returns:
        The sentences, in the order of the corpus.

    Raises:
        ConfigError: no recording is of a useful length.
    """
    names = [name for name, _ in json.loads(listing.read_text(encoding="utf-8"))]
    most = math.ceil(60 * config.max_minutes / config.min_sentence_s)
    paths = [corpus / name for name in names[:: -(-len(names) // most)]]
    durations = [_duration_s(path) for path in paths]
    chosen = choose_sentences(durations, config)
    if not chosen:
        raise ConfigError(
            f"none of the {len(paths)} recordings looked at in {corpus} lasts "
            f"{config.min_sentence_s:g} to {config.max_sentence_s:g} s",
            "set pseudo.min_sentence_s, pseudo.max_sentence_s or pseudo.max_minutes to fit them",
        )
    starts = np.cumsum([0.0, *(durations[place] for place in chosen)])
    return [
        Sentence(number, paths[place], float(starts[number]), durations[place])
        for number, place in enumerate(chosen)
    ]


def _duration_s(path: Path) -> float:
    try:
        return float(audio_duration(path))
    except MediaError as error:
        LOG.warning("left out: %s", error.problem)
        return 0.0


def save_utterance(folder: Path, number: int, utterance: Utterance, kept: bool) -> None:
    """Write one sentence, whole or not at all; one that is not kept goes into `dropped/`."""
    path = _places(folder, number)[0 if kept else 1]
    path.parent.mkdir(exist_ok=True)
    partial = folder / "partial.npz"
    np.savez(partial, **vars(utterance))
    partial.replace(path)


def is_written(folder: Path, number: int) -> bool:
    """Say whether a sentence has been written, kept or dropped."""
    return any(path.is_file() for path in _places(folder, number))


def load_utterances(folder: Path) -> Iterator[Utterance]:
    """Read the sentences that were kept, in order; none where the stage was skipped."""
    for path in sorted((folder / "sentences").glob("*.npz")):
        yield _load(path)


def summarise(folder: Path, planned: int) -> Metrics:
    """Measure what was said, and log it.

    Args:
        folder: of the sentences.
        planned: how many there were to say.

    Returns:
        Sentences kept and dropped; of the kept ones the seconds, the share of frames with a
        face and the mean landmark error.
    """
    frames = faces = 0
    seconds, errors = 0.0, []
    for utterance in load_utterances(folder):
        frames += len(utterance.has_face)
        faces += int(utterance.has_face.sum())
        seconds += len(utterance.samples) / SAMPLE_RATE
        errors.append(utterance.mean_error_mm)
    metrics: Metrics = {"sentences": len(errors), "dropped": planned - len(errors)}
    if not errors:
        LOG.warning("pseudo video: none of %d sentences is fit to learn from", planned)
        return metrics
    LOG.info(
        "pseudo video: %d sentences kept, %d dropped for a missing face or a poor fit",
        *(len(errors), planned - len(errors)),
    )
    return {
        **metrics,
        "speech_s": seconds,
        "face_share": faces / frames,
        "landmark_error_mm": float(np.mean(errors)),
    }


def _places(folder: Path, number: int) -> tuple[Path, Path]:
    name = f"{number:05d}.npz"
    return folder / "sentences" / name, folder / "dropped" / name


def _load(path: Path) -> Utterance:
    with np.load(path, allow_pickle=False) as stored:
        return Utterance(**{name: stored[name] for name in stored.files})
