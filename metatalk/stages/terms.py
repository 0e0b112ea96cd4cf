"""Under which terms a thing stands that goes into an actor or a result: one entry each.

Nothing heavy is imported before it is needed: a run is judged before it begins.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from metatalk.a2e.encoder_config import BUILTIN, NONE
from metatalk.errors import MissingAssetError, TermsError
from metatalk.workspace.ledger import FOOTAGE, Commercial, Entry, least_commercial
from metatalk.workspace.terms import Terms, find_terms

if TYPE_CHECKING:
    from metatalk.stages.lipsync_corpus import Source

NOT_STATED = "terms not stated"
NOTHING = "nothing is on record"
OWN = "the user's own"  # a recording, curves: what a result is asked to say or do
NO_COMMAND_TERMS = "terms of the command not stated"
CHECKPOINT, CORPUS, TEACHER = "checkpoint", "speech", "teacher"
FIRST_GUESS = "fit's checkpoint"
FACE_MODEL, LANDMARK_MODEL = "face model", "landmark model"
ENCODER, PRIOR, PRIORS_FOOTAGE = "speech encoder", "prior", "prior's footage"
DETECTOR, PHONE_MODEL = "speech detector", "phone model"
TRAINING = "training footage"
_GIVEN = ("speech", "curves", "phones", "coefficients")
HEARD_KINDS = frozenset({ENCODER, PRIOR, PRIORS_FOOTAGE, DETECTOR, PHONE_MODEL})
TAUGHT_KINDS = frozenset({CHECKPOINT, CORPUS, TEACHER})
_STATE = "state its terms in {name}.terms.json beside it"
_REMEDIES = {
    FOOTAGE: 'have a consent with "commercial": true in {name}.consent.json beside it, or give '
    "one with --consent",
    "performance": 'have a consent with "commercial": true in {name}.consent.json beside it',
    CHECKPOINT: f"use weights that were trained on footage cleared for it, or {_STATE}",
    FIRST_GUESS: "set fit.deep3d_checkpoint=null",
    CORPUS: "use another corpus, or state its terms in terms.json in its folder",
    TEACHER: "state its terms: pseudo.command_terms, or use weights that are cleared",
    FACE_MODEL: "use fit.face_model=anny or ict",
    LANDMARK_MODEL: "use landmarks.detector=mediapipe",
    ENCODER: f"use a2e.encoder.source=builtin, or {_STATE} (terms.json in a folder)",
    PRIOR: f"leave it out, train one on cleared clips, or {_STATE}",
    PRIORS_FOOTAGE: "train the prior on clips that are cleared, or leave it out",
    TRAINING: 'have a consent with "commercial": true in {name}.consent.json beside it, or state '
    "the terms of its folder in terms.json there, and prepare it again, which keeps what is done; "
    "or, where nothing forbids it, state those of the whole corpus in terms.json in it; or prepare "
    "a corpus without it",
}
_OTHERWISE = "leave it out, or have its terms cleared"
# How licences that model cards and terms name are told; what is not among them is unknown.
_FREE = frozenset(
    {"apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "cc0", "cc0-1.0",
     "cc-by-4.0", "cc-by-3.0", "unlicense", "isc"}
)  # fmt: skip
_FREE_MODELS, _BASEL = ("anny", "ict"), "bfm"


def require_commercial(entries: Iterable[Entry], afterwards: str = "") -> None:
    """Refuse whatever is not known to allow commercial use.

    Args:
        entries: all that a run would use, or that something is made of.
        afterwards: what else is to be done when the remedies have been followed.

    Raises:
        TermsError: one of them is "no" or "unknown"; all such are named, with terms and remedy.
            Of nothing nothing is known.
    """
    listed = list(entries)
    if not listed:
        raise TermsError(f"not commercially safe: {NOTHING}", afterwards or _OTHERWISE)
    refused = restricted(listed)
    if not refused:
        return
    lines = [
        f"  {entry.kind} {entry.name} (commercial use: {entry.commercial}): {entry.terms}"
        for entry in refused
    ]
    remedies = [f"{entry.kind} {entry.name}: {_remedy(entry)}" for entry in refused]
    raise TermsError(
        f"not commercially safe: {len(refused)} of {len(listed)} things that it takes\n"
        + "\n".join(lines),
        "\n    ".join([*remedies, *([afterwards] if afterwards else [])]),
    )


def restricted(entries: Iterable[Entry]) -> list[Entry]:
    """The entries that are not known to allow commercial use, each once."""
    return list(dict.fromkeys(entry for entry in entries if entry.commercial != "yes"))


def checkpoint_entry(path: Path, title: str, public_terms: str = "") -> Entry:
    """The entry of weights, told without loading them.

    What `NAME.terms.json` beside the file states comes first, then what a file of ours says about
    itself, then the terms of the public weights.

    Args:
        path: the file.
        title: what it is, such as "Wav2Lip generator".
        public_terms: of the public weights of that kind, which are restricted; empty: none known.

    Raises:
        MissingAssetError: there is no such file.
    """
    path = path.expanduser()
    with _opened(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    usual = Terms(public_terms, "no") if public_terms else Terms(NOT_STATED)
    stated = find_terms(path) or _own_terms(path, usual)
    return Entry(CHECKPOINT, f"{title}: {path.name}", stated.terms, digest, stated.commercial)


def wav2lip_entry(path: Path) -> Entry:
    """The entry of a Wav2Lip generator, see `checkpoint_entry`."""
    from metatalk.lipsync.checkpoints import KINDS
    from metatalk.lipsync.wav2lip import Wav2Lip

    kind = KINDS[Wav2Lip]
    return checkpoint_entry(path, kind.title, kind.terms)


def judge_entry(path: Path) -> Entry:
    """The entry of a judge of sync, SyncNet or an expert, see `checkpoint_entry`.

    Which of them it is its keys say; of a file that cannot be read, its name does.
    """
    from metatalk.lipsync.checkpoints import KINDS
    from metatalk.lipsync.syncnet import ColourExpert, SyncNet
    from metatalk.stages.weights_kind import held_network

    usual = SyncNet if path.suffix == ".model" else ColourExpert
    kind = KINDS[held_network(path.expanduser(), (SyncNet, ColourExpert)) or usual]
    return checkpoint_entry(path, kind.title, kind.terms)


def deep3d_entry(path: Path) -> Entry:
    """The entry of a Deep3DFaceRecon checkpoint, see `checkpoint_entry`."""
    from metatalk.stages.deep3d_start import TERMS

    return replace(checkpoint_entry(path, "", TERMS), kind=FIRST_GUESS, name=path.name)


def command_entry(command: str, terms: str | None) -> Entry:
    """The entry of a teacher that is the user's own program.

    Args:
        command: its command line.
        terms: under which its results may be used, in the user's words: a licence's name, such as
            MIT, is understood, and so is `commercial: yes` at the end.
    """
    stated = terms or NO_COMMAND_TERMS
    return Entry(TEACHER, command, stated, "", commercial_of(stated))


def corpus_entry(corpus: Path, digest: str = "") -> Entry:
    """The entry of a folder of speech: what its `terms.json` states, else unknown.

    Args:
        corpus: the folder.
        digest: of its listing.
    """
    stated = find_terms(corpus) or Terms(NOT_STATED)
    return Entry(CORPUS, f"corpus {corpus.name}", stated.terms, digest, stated.commercial)


def face_model_entry(source: str, terms: str, digest: str = "") -> Entry:
    """The entry of a face model.

    Args:
        source: the family it comes from: anny, ict or one of the Basel models.
        terms: its licence.
        digest: of its files.
    """
    commercial: Commercial = "yes" if source in _FREE_MODELS else "unknown"
    if source.startswith(_BASEL):
        commercial = "no"
    return Entry(FACE_MODEL, source, terms, digest, commercial)


def told_again(entry: Entry) -> Entry:
    """An entry of a ledger that does not say whether it may be used commercially, by its words."""
    if entry.commercial != "unknown":
        return entry
    if entry.kind == FACE_MODEL:
        return face_model_entry(entry.name, entry.terms, entry.digest)
    if entry.kind in _GIVEN and entry.terms == OWN:
        return replace(entry, commercial="yes")
    return replace(entry, commercial=commercial_of(entry.terms)) if entry.kind == ENCODER else entry


def landmark_model_entry(detector: str) -> Entry:
    """The entry of the landmark detector's model, by the detector's name."""
    name = f"{detector} {_version(detector)}".strip()
    if detector == "mediapipe":
        return Entry(LANDMARK_MODEL, name, "Apache-2.0, its models included", "", "yes")
    return Entry(LANDMARK_MODEL, name, "BSD code; the terms of its weights are not stated")


def speech_detector_entries(detector: str) -> list[Entry]:
    """The entry of the detector of speech; none where sound is judged by its level.

    Args:
        detector: as `a2e.activity.detector` names it.
    """
    version = _version("silero-vad")
    if detector == "level" or not version:
        return []
    return [Entry(DETECTOR, f"silero-vad {version}", "MIT, its model included", "", "yes")]


def phone_model_entries() -> list[Entry]:
    """The entry of the model of English phones; none where it is not installed."""
    version = _version("pocketsphinx")
    if not version:
        return []
    return [Entry(PHONE_MODEL, f"pocketsphinx {version} en-us", "BSD", "", "yes")]


def encoder_commercial(source: str, terms: str) -> tuple[str, Commercial]:
    """Say under which terms an encoder of speech stands.

    Args:
        source: as `a2e.encoder.source` names it.
        terms: as it was opened: of its package, or what its model card says.

    Returns:
        Its terms, which the user may have stated otherwise, and whether they allow commercial use.
    """
    if source in (BUILTIN, NONE):
        return terms, commercial_of(terms)
    stated = find_terms(Path(source).expanduser())
    return (stated.terms, stated.commercial) if stated else (terms, commercial_of(terms))


def prior_entries(
    path: Path, footage: Iterable[Sequence[str]], encoder_terms: str, digest: str
) -> list[Entry]:
    """The entries of a prior: the file, and whose faces taught it.

    Args:
        path: the prior's file.
        footage: name, terms and digest of each clip it was learned from.
        encoder_terms: of the encoder that listened.
        digest: of the file.

    Returns:
        The prior's entry and one for each clip. What is stated beside the file answers for all
        that is unknown.
    """
    stated = find_terms(path)
    clips = [
        Entry(PRIORS_FOOTAGE, name, terms, content, commercial_of(terms))
        for name, terms, content in footage
    ]
    if stated:
        clips = [_answered(clip, stated.commercial) for clip in clips]
    heard = Entry(ENCODER, "", encoder_terms, "", commercial_of(encoder_terms))
    own = Terms(
        f"learned from {len(clips)} clips; encoder: {encoder_terms}",
        least_commercial([*clips, heard]),
    )
    said = stated or own
    return [Entry(PRIOR, path.name, said.terms, digest, said.commercial), *clips]


def training_entries(folder: Path) -> list[Entry]:
    """The entries of a prepared corpus of talking faces: one for each clip with tracks.

    Args:
        folder: as `metatalk lipsync prepare` wrote it; it may still be growing. A `terms.json` in
            it answers for what is unknown.

    Returns:
        The entries, in the order of preparation; of a corpus without tracks one that nothing is
        known of.

    Raises:
        MissingAssetError: no such folder, or no corpus.
        StaleArtefactError: the corpus is of another layout, or damaged.
        TermsError: its `terms.json` cannot be understood.
    """
    from metatalk.stages.lipsync_corpus import read_sources

    stated = find_terms(folder)
    given = [source for source in read_sources(folder).values() if source.tracks]
    return [training_entry(source, stated) for source in given] or [
        Entry(TRAINING, f"corpus {folder.name}", NOTHING)
    ]


def training_entry(source: Source, stated: Terms | None) -> Entry:
    """The entry of a clip of a prepared corpus.

    Args:
        source: the clip.
        stated: of the whole corpus; it answers for what is unknown, and no more.
    """
    terms = source.terms or NOT_STATED
    answer = source.commercial or commercial_of(terms)  # earlier versions noted the words alone
    entry = Entry(TRAINING, source.name, terms, source.digest, answer)
    return _answered(entry, stated.commercial) if stated else entry


def trained_metadata(entries: Sequence[Entry]) -> dict[str, str]:
    """What weights say about themselves that were trained on some things.

    Args:
        entries: of all they were trained on.

    Returns:
        `terms` and, where it is known, `commercial`: the metadata of a safetensors file.
    """
    terms = "; ".join(dict.fromkeys(entry.terms for entry in entries)) or NOT_STATED
    answer = {"yes": "true", "no": "false"}.get(least_commercial(entries))
    told = {"terms": f"trained with metatalk on {len(entries)} sources: {terms}"}
    return {**told, "commercial": answer} if answer else told


def commercial_of(terms: str) -> Commercial:
    """Tell from the words of a licence whether it allows commercial use.

    >>> [commercial_of(terms) for terms in ("MIT; by them", "cc-by-nc-4.0, says its card", "?")]
    ['yes', 'no', 'unknown']
    """
    if said := re.search(r"commercial: (yes|no)\s*$", terms):
        return "yes" if said[1] == "yes" else "no"
    plain = re.sub(r"\bcc[ -]by((?:-[a-z]{2})*)[ -](\d)", r"cc-by\1-\2", terms.lower())
    words = re.findall(r"[a-z0-9.\-]+", plain)
    if re.search(r"\bnc\b|non[\s-]?commercial|\bnot? (?:for )?commercial", plain):
        return "no"
    return "yes" if words and words[0].rstrip(".") in _FREE else "unknown"


def _remedy(entry: Entry) -> str:
    name = entry.name.rpartition(": ")[2]
    return _REMEDIES.get(entry.kind, _OTHERWISE).format(name=name)


def _answered(entry: Entry, commercial: Commercial) -> Entry:
    """An entry of which nothing was known, as a statement about the whole says."""
    return replace(entry, commercial=commercial) if entry.commercial == "unknown" else entry


def _own_terms(path: Path, usual: Terms) -> Terms:
    """What a safetensors file says about itself; silence leaves the usual terms."""
    if path.suffix != ".safetensors":
        return usual
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError):  # whoever loads it says so
        return usual
    if "terms" not in metadata:
        return usual
    answers: dict[str | None, Commercial] = {"true": "yes", "false": "no"}
    return Terms(metadata["terms"], answers.get(metadata.get("commercial"), "unknown"))


def _opened(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise MissingAssetError(
            f"{path}: cannot be read ({error.strerror})", "check the path and its permissions"
        ) from error


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
