"""The sentences of pseudo video: which recordings they are, and how they lie on disk."""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from metatalk.errors import ConfigError, MediaError, MissingAssetError
from metatalk.fitting.utterance import Utterance
from metatalk.lipsync.checkpoints import load_network
from metatalk.lipsync.config import PseudoConfig
from metatalk.lipsync.gate import SCREEN_REASONS
from metatalk.lipsync.judge import open_judge
from metatalk.lipsync.mel import SAMPLE_RATE
from metatalk.lipsync.pseudo import choose_sentences, missing_teacher, order_evenly
from metatalk.lipsync.wav2lip import Wav2Lip
from metatalk.media.audio import audio_duration
from metatalk.stages.corpora import find_recordings, speaker_of
from metatalk.workspace.actor import disk_errors_remedied
from metatalk.workspace.digest import digest_file
from metatalk.workspace.manifest import Metrics, write_json

LOG = logging.getLogger(__name__)
LISTING = "corpus.json"  # in the actor folder
TEACHER = "teacher.json"  # beside it
SUMMARY = "sentences.json"  # in the stage's folder
FAILING_TEACHER = "the teacher fails in most sentences"
GATE_REASONS = (*SCREEN_REASONS, "the lips do not close", FAILING_TEACHER)
_MOST_OPENED = 4  # recordings looked into, for each that could be wanted at most


@dataclass(frozen=True)
class Sentence:
    """A recording that the actor is to say."""

    number: int  # among the chosen ones
    path: Path
    start_s: float  # seconds of speech that come before it
    duration_s: float
    speaker: str = ""


def teacher_sources(config: PseudoConfig, actor: Path) -> dict[str, Path]:
    """Say who teaches and list the corpus, so that both are part of the stage's cause.

    Args:
        config: the stage's section.
        actor: the actor folder, where both are kept; it is made.

    Returns:
        The stage's further sources by name; none where the stage is skipped.

    Raises:
        MissingAssetError: the checkpoint, the judge or the corpus is not there.
        ConfigError: the corpus has no such split, or the weights are of something else.
    """
    if missing_teacher(config) is not None:
        return {}
    files = {"checkpoint": config.checkpoint, "judge": config.judge}
    for name, file in files.items():
        if file is not None and not Path(file).is_file():
            where = "pseudo.judge" if name == "judge" else "pseudo.checkpoint"
            raise MissingAssetError(f"there is no file {file}", f"correct {where}")
    if config.checkpoint is not None:  # what would only be found out after hours
        load_network(Wav2Lip, Path(config.checkpoint))
    if config.judge is not None:
        open_judge(Path(config.judge))
    corpus = Path(str(config.corpus))
    found = find_recordings(corpus, config.split)
    listing, teacher = actor / LISTING, actor / TEACHER
    digests = {name: digest_file(Path(file)) for name, file in files.items() if file is not None}
    with disk_errors_remedied(actor):
        actor.mkdir(parents=True, exist_ok=True)
        write_json(teacher, {"command": config.command, **digests})
        # The digest of the sounds themselves would take hours; names and sizes do not.
        write_json(listing, [[item.name, (corpus / item.name).stat().st_size] for item in found])
    return {"teacher": teacher, "corpus": listing}


def plan_sentences(listing: Path, corpus: Path, config: PseudoConfig) -> list[Sentence]:
    """Choose the recordings to be said, evenly over the speakers; no more are opened than needed.

    Args:
        listing: the JSON file of `teacher_sources`: [path inside the corpus, bytes] of each.
        corpus: the folder it was made of.
        config: how much speech, and of which length.

    Returns:
        The sentences, in the order of the corpus.

    Raises:
        ConfigError: no recording is of a useful length.
    """
    names = [name for name, _ in json.loads(listing.read_text(encoding="utf-8"))]
    order = order_evenly([speaker_of(name) for name in names])
    most = _MOST_OPENED * math.ceil(60 * config.max_minutes / config.min_sentence_s)
    durations: list[float] = []

    def opened() -> Iterator[float]:
        for place in order[:most]:
            durations.append(_duration_s(corpus / names[place]))
            yield durations[-1]

    chosen = choose_sentences(opened(), config)
    if not chosen:
        raise ConfigError(
            f"none of the {len(durations)} recordings looked at in {corpus} lasts "
            f"{config.min_sentence_s:g} to {config.max_sentence_s:g} s",
            "set pseudo.min_sentence_s, pseudo.max_sentence_s or pseudo.max_minutes to fit them",
        )
    chosen.sort(key=lambda at: order[at])
    starts = np.cumsum([0.0, *(durations[at] for at in chosen)])
    sentences = []
    for number, at in enumerate(chosen):
        name = names[order[at]]
        start_s = float(starts[number])
        sentences.append(Sentence(number, corpus / name, start_s, durations[at], speaker_of(name)))
    voices = len({sentence.speaker for sentence in sentences})
    LOG.info(
        "pseudo video: %d of %d recordings are used, %.1f minutes of %d speakers",
        *(len(sentences), len(names), starts[-1] / 60, voices),
    )
    return sentences


def _duration_s(path: Path) -> float:
    try:
        return float(audio_duration(path))
    except MediaError as error:
        LOG.warning("left out: %s", error.problem)
        return 0.0


def save_utterance(folder: Path, number: int, utterance: Utterance, reason: str = "") -> None:
    """Write one sentence, whole or not at all; one with a reason against it goes into `dropped/`.

    Args:
        folder: of the sentences.
        number: of the sentence.
        utterance: what was said.
        reason: why it is not learned from, or "".
    """
    path, other = _places(folder, number)[:: -1 if reason else 1]
    path.parent.mkdir(exist_ok=True)
    partial = folder / "partial.npz"
    np.savez(partial, **vars(utterance), reason=np.array(reason))
    partial.replace(path)
    other.unlink(missing_ok=True)


def is_written(folder: Path, number: int) -> bool:
    """Say whether a sentence has been written, kept or dropped."""
    return any(path.is_file() for path in _places(folder, number))


def load_utterances(folder: Path) -> Iterator[Utterance]:
    """Read the sentences that were kept, in order; none where the stage was skipped."""
    for path in sorted((folder / "sentences").glob("*.npz")):
        yield _load(path)[0]


def load_said(folder: Path, number: int) -> tuple[Utterance, str]:
    """Read one sentence, kept or dropped, and why it was dropped."""
    kept, dropped = _places(folder, number)
    return _load(kept if kept.is_file() else dropped)


def summarise(folder: Path, sentences: list[Sentence]) -> Metrics:
    """Measure what was said, list it in `sentences.json`, and log it.

    Args:
        folder: of the sentences, all of them written.
        sentences: as planned.

    Returns:
        Sentences kept and dropped, and voices; of the kept ones the seconds, the share of frames
        with a face and the mean landmark error.
    """
    frames = faces = 0
    seconds, errors, voices, listed = 0.0, [], set(), []
    reasons: Counter[str] = Counter()
    for sentence in sentences:
        utterance, reason = load_said(folder, sentence.number)
        listed.append({
            "sentence": sentence.number, "file": sentence.path.name, "speaker": sentence.speaker,
            "seconds": round(sentence.duration_s, 2), "dropped_for": reason or None,
        })  # fmt: skip
        if reason:
            reasons[reason] += 1
            continue
        voices.add(sentence.speaker)
        frames += len(utterance.has_face)
        faces += int(utterance.has_face.sum())
        seconds += len(utterance.samples) / SAMPLE_RATE
        errors.append(utterance.mean_error_mm)
    write_json(folder / SUMMARY, listed)
    metrics: Metrics = {"sentences": len(errors), "dropped": reasons.total()}
    why = ", ".join(f"{count} because {reason}" for reason, count in reasons.most_common())
    if why:
        metrics["dropped_for"] = why
    if not errors:
        LOG.warning("pseudo video: none of %d sentences is fit to learn from: %s",
                    len(sentences), why)  # fmt: skip
        return metrics
    LOG.info(
        "pseudo video: %d sentences of %d speakers kept, %d dropped%s",
        *(len(errors), len(voices), reasons.total(), f": {why}" if why else ""),
    )
    return {
        **metrics,
        "voices": len(voices),
        "speech_s": seconds,
        "face_share": faces / frames,
        "landmark_error_mm": float(np.mean(errors)),
    }


def _places(folder: Path, number: int) -> tuple[Path, Path]:
    name = f"{number:05d}.npz"
    return folder / "sentences" / name, folder / "dropped" / name


def _load(path: Path) -> tuple[Utterance, str]:
    with np.load(path, allow_pickle=False) as stored:
        known = {field.name: stored[field.name] for field in fields(Utterance)}
        return Utterance(**known), str(stored["reason"])
