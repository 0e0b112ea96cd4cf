"""The gate behind the teacher: what it said is held against its sound before it is learned from."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metatalk.a2e.activity import hear_speech
from metatalk.a2e.activity_config import ActivityConfig
from metatalk.a2e.footage import Footage
from metatalk.a2e.lip_meter import LipMeter, make_lip_meter
from metatalk.a2e.offset import correct_offset
from metatalk.a2e.phone_alignment import align_transcript
from metatalk.a2e.phone_hearing import hear_phones
from metatalk.errors import FittingError, MediaError, MissingAssetError
from metatalk.fitting.utterance import Utterance
from metatalk.lipsync.config import GateConfig
from metatalk.lipsync.gate import Spoken, hear_and_see, open_share, screen
from metatalk.lipsync.mel import wav2lip_mel
from metatalk.media.audio import read_sound
from metatalk.morphable.coefficients import load_coefficients
from metatalk.morphable.model import MorphableModel
from metatalk.stages.artefacts import load_index, load_landmarks
from metatalk.stages.corpora import read_words
from metatalk.stages.sentences import (
    FAILING_TEACHER,
    GATE_REASONS,
    Sentence,
    load_said,
    save_utterance,
)
from metatalk.workspace.manifest import Metrics

LOG = logging.getLogger(__name__)
_SURE = 0.6  # confidence from which a heard p, b or m is taken for one
_NEAR_PERCENTILE = 25  # of the actor's own gaps, up to which lips count as closed,
_TELLING = 0.15  # likeness from which the lag of all sentences together is worth a figure
_NEAR_MM = 1.0  # or this far apart


@dataclass(frozen=True, eq=False)
class OwnClip:
    """How the actor's own lips go with the actor's own sound."""

    meter: LipMeter
    spoken: Spoken
    near_mm: float  # lips this near count as closed
    offset_s: float | None  # how late its sound comes; None: nobody knows

    @property
    def in_sync(self) -> bool:
        """Whether it is known to be in sync, or was brought to be."""
        return self.offset_s is not None


def screen_sentences(
    folder: Path,
    sentences: Sequence[Sentence],
    own: OwnClip | None,
    config: GateConfig,
) -> Metrics:
    """Drop the sentences whose mouth does not go with their sound.

    Args:
        folder: of the sentences, all of them written; a second time comes to the same.
        sentences: as planned.
        own: the actor's clip, from `measure_own_clip`; None: there is nothing to go by.
        config: what is dropped.

    Returns:
        How all sentences together lie to their sound, where the clip can tell.
    """
    written = {item.number: load_said(folder, item.number) for item in sentences}
    asked = [item for item in sentences if written[item.number][1] in ("", *GATE_REASONS)]
    others = {number: why for number, (_, why) in written.items() if why not in GATE_REASONS}
    if own is None:
        reasons = {**others, **{item.number: "" for item in asked}}
        _note(folder, asked, written, distrust(reasons, config.max_dropped))
        return {}
    gaps = {item.number: _gap_mm(written[item.number][0], own.meter) for item in asked}
    heard = [_spoken(written[item.number][0], gaps[item.number]) for item in asked]
    found = screen(heard, own.spoken, config, own.in_sync)
    if asked and not found.knows:
        LOG.info("pseudo video: too little to tell from the sound alone which sentences fit it")
    reasons = others
    for item, reason in zip(asked, found.reasons, strict=True):
        said, gap = written[item.number][0], gaps[item.number]
        reasons[item.number] = reason or _open_lips(item, said, gap, own, config)
    _note(folder, asked, written, distrust(reasons, config.max_dropped))
    if not own.in_sync or found.common_likeness < _TELLING:
        return {}
    return {"teacher_lag_ms": 1000 * found.common_lag_s, "teacher_likeness": found.common_likeness}


def _note(
    folder: Path,
    asked: Sequence[Sentence],
    written: Mapping[int, tuple[Utterance, str]],
    reasons: Mapping[int, str],
) -> None:
    """Write the sentences of which something else is known now."""
    for item in asked:
        said, before = written[item.number]
        if reasons[item.number] != before:
            save_utterance(folder, item.number, said, reasons[item.number])


def distrust(reasons: Mapping[int, str], max_dropped: float) -> dict[int, str]:
    """Drop what is left of a teacher that mostly fails: it has passed by chance.

    Args:
        reasons: why each sentence is dropped, or "".
        max_dropped: share of the sentences that may be dropped before all are.

    Returns:
        The reasons, with one for every sentence where too many had one.
    """
    dropped = sum(bool(why) for why in reasons.values())
    if dropped <= max_dropped * len(reasons):
        return dict(reasons)
    return {number: why or FAILING_TEACHER for number, why in reasons.items()}


def measure_own_clip(inputs: Mapping[str, Path], model: MorphableModel) -> OwnClip | None:
    """Measure how the actor's own lips go with the actor's own sound.

    Args:
        inputs: the artefacts of ingest, landmarks and fit.
        model: the face model.

    Returns:
        The measure; None where the clip has no sound or no face, or the model no lips.
    """
    sound = inputs["ingest"] / "sound.wav"
    if not sound.is_file() or not model.landmark_layout:
        return None
    person, track, _ = load_coefficients(inputs["fit"] / "coefficients.npz")
    trusted, samples = track.is_trusted.numpy(), read_sound(sound).samples
    expression = track.expression.numpy()
    meter = make_lip_meter(model, person.identity, expression, trusted)
    gap = meter.gap_mm(expression)
    shots = load_landmarks(inputs["landmarks"] / "landmarks.npz").shots
    seconds = load_index(inputs["ingest"] / "frames.npz").seconds()
    if not trusted.any():
        return None
    mouth = (gap - gap[trusted].mean()) / max(float(gap[trusted].std()), 1e-6)
    footage = Footage(samples, seconds, mouth[:, None].astype(np.float32), trusted, shots)
    moved, offset_s = _moved_into_sync(footage)
    spoken = hear_and_see(wav2lip_mel(samples), np.where(trusted, gap, np.nan), moved.frame_seconds)
    near_mm = max(_NEAR_MM, float(np.percentile(gap[trusted], _NEAR_PERCENTILE)))
    return OwnClip(meter, spoken, near_mm, offset_s)


def _moved_into_sync(footage: Footage) -> tuple[Footage, float | None]:
    speech = hear_speech(footage.samples, ActivityConfig())
    try:
        moved, report = correct_offset(footage, None, speech)
    except (FittingError, MediaError):  # the training of the mouth says so itself
        return footage, None
    return moved, report.offset_s if report.verdict == "measured" else None


def _gap_mm(said: Utterance, meter: LipMeter) -> np.ndarray:
    gap: np.ndarray = np.where(said.has_face, meter.gap_mm(said.expression), np.nan)
    return gap


def _spoken(said: Utterance, gap_mm: np.ndarray) -> Spoken:
    return hear_and_see(wav2lip_mel(said.samples), gap_mm, said.frame_seconds)


def _open_lips(
    sentence: Sentence, said: Utterance, gap_mm: np.ndarray, own: OwnClip, config: GateConfig
) -> str:
    """A reason where p, b and m are said with lips apart."""
    if config.max_open_share >= 1:
        return ""
    share = open_share(gap_mm, said.frame_seconds, _bilabials_s(sentence, said), own.near_mm)
    apart = share is not None and share > config.max_open_share
    return "the lips do not close" if apart else ""


def _bilabials_s(sentence: Sentence, said: Utterance) -> np.ndarray:
    """(N, 2) start and end of each p, b and m: by the transcript, or else as heard."""
    words = read_words(sentence.path)
    try:
        try:
            phones = align_transcript(said.samples, words) if words else hear_phones(said.samples)
        except MediaError:  # the transcript is not what is said, or not in English
            phones = hear_phones(said.samples)
    except MissingAssetError:  # nobody hears phones here
        return np.zeros((0, 2))
    closing = phones.of_kind("bilabial")
    times = np.stack([closing.starts, closing.ends], axis=1)
    return np.asarray(times[closing.confidence >= _SURE])
