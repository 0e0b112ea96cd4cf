"""What a command would take, known before it runs, and refused there if it is restricted.

Nothing is decoded, made or loaded for it but small files; of large ones the digest is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from safetensors import SafetensorError, safe_open

from metatalk.a2e.config import A2EConfig
from metatalk.a2e.encoder_config import BUILTIN, NONE
from metatalk.config import Config
from metatalk.lipsync.config import PseudoConfig
from metatalk.stages.stage import STAGE_NAMES
from metatalk.stages.terms import (
    ENCODER,
    FACE_MODEL,
    NOT_STATED,
    OWN,
    TRAINING,
    command_entry,
    commercial_of,
    corpus_entry,
    deep3d_entry,
    encoder_commercial,
    face_model_entry,
    judge_entry,
    landmark_model_entry,
    phone_model_entries,
    prior_entries,
    require_commercial,
    speech_detector_entries,
    told_again,
    wav2lip_entry,
)
from metatalk.workspace.consent import consent_path, find_consented, footage_entry
from metatalk.workspace.digest import digest_file
from metatalk.workspace.footage import remembered_clips
from metatalk.workspace.ledger import FOOTAGE, Entry, read_ledger

UNRECORDED = "not on record; to train again, which keeps what is done, puts it there"


def require_safe_training(
    clip: Path, actor: Path, config: Config, last: str | None, footage: Entry | None = None
) -> None:
    """Refuse to train on, or by means of, anything restricted, where that is asked for.

    Args:
        clip: the footage.
        actor: the actor folder, made or not.
        config: all settings; without `commercial_safe` nothing is looked at.
        last: the stage to stop after; None: all.
        footage: the clip's entry, where its consent was given; None: what is on record.

    Raises:
        TermsError: something is restricted, or its terms are not known.
    """
    if not config.commercial_safe:
        return
    own = [footage or clip_entry(read_ledger(actor), clip)]
    require_commercial([*own, *training_ingredients(config, last)])


def require_safe_actor(actor: Path, clips: Iterable[Path | None] = ()) -> None:
    """Refuse to use an actor, or to show other clips, that anything restricted went into.

    Recordings, curves and phones are taken to be the user's own.

    Args:
        actor: the actor folder.
        clips: other clips whose faces are shown or followed; those that are None are left out.

    Raises:
        TermsError: something is restricted, or its terms are not known.
    """
    entries = actor_entries(actor)
    shown = [clip_entry(entries, clip) for clip in clips if clip is not None]
    again = f"for what the actor is made of, then: metatalk train CLIP --actor {actor}"
    require_commercial([*entries, *shown], f"{again} (what is done is kept)")


def require_current_consents(clips: Iterable[Path | None]) -> None:
    """Check the consents that lie beside clips before a result is made of them, not after.

    Args:
        clips: whose faces are shown or followed; those that are None are left out.

    Raises:
        ConsentError: one has expired, has not begun, covers another clip or cannot be read.
    """
    for clip in clips:
        if clip is not None and consent_path(clip).is_file():
            clip_entry([], clip)


def training_ingredients(config: Config, last: str | None = None) -> list[Entry]:
    """All that the stages of training would take beside the footage.

    Args:
        config: all settings.
        last: the stage to stop after; None: all.

    Returns:
        The entries. A file that is not there is left out: the stage itself says so.
    """
    names = STAGE_NAMES[: STAGE_NAMES.index(last) + 1] if last else STAGE_NAMES
    entries = []
    if "landmarks" in names:
        entries.append(landmark_model_entry(config.landmarks.detector))
    if "fit" in names:
        entries.append(_configured_face_model(config))
        entries += [deep3d_entry(path) for path in _files(config.fit.deep3d_checkpoint)]
    if "pseudo" in names:
        entries += teacher_ingredients(config.pseudo)
    if "train_a2e" in names:
        entries += hearing_ingredients(config.a2e)
        entries += [entry for path in _files(config.a2e.prior) for entry in prior_ingredients(path)]
    return entries


def teacher_ingredients(config: PseudoConfig) -> list[Entry]:
    """The teacher, its corpus and its judge; nothing where the stage would be skipped."""
    if config.corpus is None or not (config.checkpoint or config.command):
        return []
    corpus = Path(config.corpus).expanduser()
    entries = [corpus_entry(corpus)] if corpus.is_dir() else []
    if config.command:
        entries.append(command_entry(config.command, config.command_terms))
    else:
        entries += [wav2lip_entry(path) for path in _files(config.checkpoint)]
    return [*entries, *(judge_entry(path) for path in _files(config.judge))]


def hearing_ingredients(config: A2EConfig) -> list[Entry]:
    """What listens to the footage: detector of speech, encoder, phones."""
    from metatalk.a2e.architectures.choice import find_architecture

    entries = speech_detector_entries(config.activity.detector)
    named = config.features.streams
    wanted = named if named is not None else find_architecture(config.network).wants
    if config.lookahead_ms is not None:  # what hears far ahead is left out
        return entries
    if "phones" in wanted:
        entries += phone_model_entries()
    if "speech" in wanted:
        entries += _encoder_entries(config.encoder.source)
    return entries


def prior_ingredients(path: Path) -> list[Entry]:
    """A prior and whose faces taught it, told without loading it."""
    from metatalk.stages.prior_file import KEY

    try:
        with safe_open(path, framework="np") as file:
            facts = json.loads((file.metadata() or {})[KEY])
        return prior_entries(path, facts["clips"], facts["encoder_terms"], digest_file(path))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return []  # no prior: whoever opens it says so


def prior_training_ingredients(clips: Sequence[Path], config: Config, terms: str) -> list[Entry]:
    """All that a prior would be learned from.

    Args:
        clips: the footage.
        config: all settings.
        terms: of the clips; a consent beside a clip comes before them.

    Returns:
        An entry a clip, and those of what looks and listens.
    """
    today = date.today()
    found = [footage_entry(clip, digest_file(clip), None, today) for clip in clips]
    answer = commercial_of(terms)
    entries = [
        replace(entry, terms=terms, commercial=answer)
        if entry.commercial == "unknown" and answer != "unknown"
        else entry
        for entry in found
    ]
    return [*entries, *training_ingredients(config, "fit"), *hearing_ingredients(config.a2e)]


def judging_ingredients(judge: Path, detector: str) -> list[Entry]:
    """All that a verdict on sync takes; the clip is only measured, and needs no consent.

    Args:
        judge: the weights.
        detector: of landmarks.

    Raises:
        MissingAssetError: the weights are not there.
    """
    return [judge_entry(judge), landmark_model_entry(detector)]


def actor_entries(root: Path) -> list[Entry]:
    """What an actor is made of, and what its ledger should name and does not.

    Args:
        root: the actor folder.

    Returns:
        Its entries; what is missing among them is there with unknown terms.
    """
    clips = remembered_clips(root)
    entries = named_footage(read_ledger(root), clips[0].name if clips else root.name)
    if (root / "fit").is_dir() and all(entry.kind != FACE_MODEL for entry in entries):
        entries.append(Entry(FACE_MODEL, "of the fit", UNRECORDED))
    return entries


def named_footage(entries: Sequence[Entry], name: str) -> list[Entry]:
    """The entries, those of earlier versions told again, and footage of unknown terms if it lacks.

    Every actor and every result shows a face: of a ledger that names none something is missing.

    Args:
        entries: of a ledger.
        name: for the footage that is missing.
    """
    told = [told_again(entry) for entry in entries]
    if any(entry.kind == FOOTAGE for entry in told):
        return told
    return [*told, Entry(FOOTAGE, name, UNRECORDED)]


def named_training(entries: Sequence[Entry], name: str) -> list[Entry]:
    """The entries of trained weights, and footage of unknown terms if there is none among them.

    Args:
        entries: of their ledger.
        name: for the footage that is missing.
    """
    if any(entry.kind == TRAINING for entry in entries):
        return list(entries)
    return [*entries, Entry(TRAINING, name, UNRECORDED)]


def clip_entry(entries: Iterable[Entry], clip: Path) -> Entry:
    """The entry of a clip that shows a face: by the consent beside it, else as on record.

    Args:
        entries: the actor's ledger; empty where there is none.
        clip: the clip.

    Raises:
        MissingAssetError: there is no such clip.
        ConsentError: a consent beside it has expired, or cannot be read.
    """
    digest = digest_file(clip)
    known = None if consent_path(clip).is_file() else find_consented(entries, digest)
    return known or footage_entry(clip, digest, None, date.today())


def face_model_digest(name: str) -> str:
    """Digest of the files that a face model is read from; empty for the built-in one."""
    from metatalk.stages.model_import import find_import
    from metatalk.stages.model_sources import SOURCES, find_source

    found = find_import(name) or (find_source(name) if name in SOURCES else None)
    return found.digest if found else ""


def source_of(name: str) -> str:
    """The family that a face model comes from, under whatever name it was imported."""
    from metatalk.stages.model_import import find_import

    imported = find_import(name)
    return imported.source if imported else name


def _configured_face_model(config: Config) -> Entry:
    from metatalk.stages.face_model import list_face_models

    name, source = config.fit.face_model, source_of(config.fit.face_model)
    terms = {model.name: model.terms for model in list_face_models(config.landmarks)}
    return face_model_entry(source, terms.get(name, NOT_STATED), face_model_digest(name))


def _encoder_entries(source: str) -> list[Entry]:
    if source == NONE:
        return []
    if source == BUILTIN:
        from metatalk.a2e import encoders

        if not encoders.has_builtin_encoder():
            return []
        return [Entry(ENCODER, "moonshine-tiny-en", "MIT; built in", "", "yes")]
    path = Path(source).expanduser()
    if not path.exists():
        return []
    terms, commercial = encoder_commercial(source, _card_terms(path))
    return [Entry(ENCODER, path.name, terms, "", commercial)]


def _card_terms(path: Path) -> str:
    if not path.is_dir():
        return OWN
    from metatalk.a2e import checkpoint_encoders

    return checkpoint_encoders.card_terms(path)


def _files(named: str | None) -> list[Path]:
    """A file that the settings name, where they do and it is there."""
    path = Path(named).expanduser() if named else None
    return [path] if path and path.is_file() else []
