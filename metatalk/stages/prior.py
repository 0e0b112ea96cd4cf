"""Train a prior: every clip is taken apart as an actor's would be, then all are learned from."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from metatalk.a2e.activity import hear_speech
from metatalk.a2e.footage import Footage
from metatalk.a2e.hearing import Ears, Sound, open_ears
from metatalk.a2e.offset import correct_offset
from metatalk.a2e.prior import PriorRecord, fit_universal_mouth, measure_universally
from metatalk.a2e.prior_training import PriorJournal, train_prior
from metatalk.a2e.targets import MouthSpace
from metatalk.a2e.training import make_lesson
from metatalk.a2e.windows import Lesson
from metatalk.config import Config
from metatalk.errors import FittingError, MediaError, MissingAssetError
from metatalk.media.audio import read_sound
from metatalk.morphable.coefficients import load_coefficients
from metatalk.stages.artefacts import checkpoint_keeper, load_index, load_landmarks
from metatalk.stages.device import choose_device
from metatalk.stages.face_model import face_model_card, open_face_model
from metatalk.stages.fit import FIT
from metatalk.stages.ingest import INGEST
from metatalk.stages.landmarks import LANDMARKS
from metatalk.stages.prior_file import save_prior
from metatalk.stages.stage import ProgressFactory, run_stages, silent_progress
from metatalk.stages.train_a2e import mouth_basis
from metatalk.stages.training_work import LoggedProgress
from metatalk.workspace.actor import ActorFolder, disk_errors_remedied
from metatalk.workspace.digest import digest_file
from metatalk.workspace.manifest import Metrics, write_json
from metatalk.workspace.output import named_path, require_output

log = logging.getLogger(__name__)

_LEAST_CLIPS = 2  # one actor says nothing about what actors have in common
_REMEDY = "Give clips in which one person is seen and heard speaking."


@dataclass(frozen=True)
class _Clip:
    """A clip that was taken apart."""

    path: Path
    digest: str
    root: Path  # of its artefacts


def learn_prior(
    clips: Sequence[Path],
    output: Path,
    config: Config,
    terms: str,
    progress_factory: ProgressFactory = silent_progress,
) -> Metrics:
    """Learn a prior from clips; what was done by a run that was killed is not done again.

    Args:
        clips: footage of one speaking person each.
        output: the prior's file. A folder beside it, `OUTPUT.work`, keeps what each clip was
            taken apart into and the training's state; it may be deleted afterwards.
        config: all settings; `prior` is its own section.
        terms: under which the clips may be used, for the ledger.
        progress_factory: who is told how far it is.

    Returns:
        The metrics, with how many clips were used and left out.

    Raises:
        MetatalkError: whatever the user can mend.
    """
    require_output(output, clips)
    place = named_path(output)
    work = place.with_name(place.name + ".work")
    ears = open_ears(config.a2e)
    if not ears.size:
        raise MissingAssetError(
            "a prior needs an encoder of speech: the mel spectrogram alone knows its speakers",
            'pip install "moonshine-voice>=0.0.66,<=0.1.0", or set a2e.encoder.source',
        )
    with disk_errors_remedied(work), ActorFolder(work).lock():
        found = list(_take_apart(clips, work, config, progress_factory))
        _require_enough(found, len(clips))
        model = open_face_model(config.fit.face_model, config.landmarks)
        space = fit_universal_mouth(
            [_trusted_expression(clip) for clip in found],
            *(mouth_basis(model), model.lower_units.numpy(), config.prior.components),
        )
        settings = replace(config.prior, components=space.components)
        used = [clip for clip in found if _write_lesson(clip, space, ears, config)]
        _require_enough(used, len(clips))
        record = PriorRecord(
            face_model=config.fit.face_model,
            units=len(space.mean),
            hears=tuple((stream.name, stream.size) for stream in ears.streams),
            fingerprint=ears.fingerprint.hex(),
            encoder_terms=ears.terms or "",
            config=settings,
            clips=tuple((clip.path.name, terms, clip.digest) for clip in used),
        )
        metrics = _learn(used, record, work, place, config, progress_factory)
    left_out = len(clips) - len(used)
    return {**metrics, "clips": len(used), "left_out": left_out, "hears": ", ".join(ears.names)}


def _learn(
    clips: Sequence[_Clip],
    record: PriorRecord,
    work: Path,
    output: Path,
    config: Config,
    progress_factory: ProgressFactory,
) -> Metrics:
    """Train, going on from a checkpoint of the same cause, and write the prior."""
    folders = [clip.root / "lesson" for clip in clips]
    checkpoint, cause = work / "checkpoint.pt", work / "cause.json"
    now = {
        "record": asdict(record),
        "seed": config.seed,
        "lessons": [_read_key(folder) for folder in folders],
    }
    now = json.loads(json.dumps(now))
    if not cause.is_file() or json.loads(cause.read_text(encoding="utf-8")) != now:
        checkpoint.unlink(missing_ok=True)
        write_json(cause, now)
    with progress_factory("prior") as progress:
        # A bar cannot be handed to another process; a line in the log can.
        told: Callable[..., None] = (
            progress if record.config.devices == 1 else LoggedProgress("prior")
        )
        journal = PriorJournal(told, partial(_save, checkpoint), partial(_load, checkpoint))
        device = choose_device(config.device).type
        opened = partial(open_lessons, folders)
        prior, metrics = train_prior(opened, record, config.seed, journal, device)
    save_prior(output, prior)
    checkpoint.unlink(missing_ok=True)
    return dict(metrics)


def open_lessons(folders: Sequence[Path]) -> list[Lesson]:
    """Map lessons that were written before, read-only: memory does not grow with the clips."""
    return [_open_lesson(folder) for folder in folders]


def _take_apart(
    clips: Sequence[Path], work: Path, config: Config, progress_factory: ProgressFactory
) -> Iterator[_Clip]:
    """Fit each clip in a folder of its own; one that cannot be learned from is left out."""
    card = face_model_card(config.fit.face_model, config.landmarks)
    seen: set[str] = set()
    for path in clips:
        digest = digest_file(path)
        if digest in seen:
            log.warning("%s: left out, it is given twice", path)
            continue
        seen.add(digest)
        clip = _Clip(path, digest, work / digest[-16:])
        sources = {"clip": path, "face_model": card}
        try:
            run_stages([INGEST], clip.root, sources, config, frozenset(), progress_factory)
            if not (clip.root / "ingest" / "sound.wav").is_file():
                raise MediaError("it has no sound")
            stages = [INGEST, LANDMARKS, FIT]
            run_stages(stages, clip.root, sources, config, frozenset(), progress_factory)
        except (MediaError, FittingError) as error:
            log.warning("%s: left out, %s", path, error.problem)
            continue
        yield clip


def _require_enough(clips: Sequence[_Clip], given: int) -> None:
    if len(clips) < _LEAST_CLIPS:
        raise FittingError(
            f"{len(clips)} of {given} clips can be learned from; a prior needs several actors",
            _REMEDY,
        )


def _trusted_expression(clip: _Clip) -> np.ndarray:
    """(T, E) of the frames that show the face well."""
    _, track, _ = load_coefficients(clip.root / "fit" / "coefficients.npz")
    expression: np.ndarray = track.expression.numpy()[track.is_trusted.numpy()]
    return expression


def _write_lesson(clip: _Clip, space: MouthSpace, ears: Ears, config: Config) -> bool:
    """Hear a clip and measure its mouth; what is on disk already is not done again.

    Returns:
        False where there is nothing to learn from it.
    """
    folder = clip.root / "lesson"
    key = _lesson_key(clip, space, ears, config)
    if _read_key(folder) == key:
        return True
    try:
        lesson = make_lesson(_footage(clip, space, config), config.a2e, config.seed, ears)
    except (MediaError, FittingError) as error:
        log.warning("%s: left out, %s", clip.path, error.problem)
        return False
    folder.mkdir(exist_ok=True)
    (folder / "key.json").unlink(missing_ok=True)
    np.save(folder / "targets.npy", lesson.targets)
    np.save(folder / "known.npy", lesson.known)
    for number, take in enumerate(lesson.takes):
        np.save(folder / f"mel_{number}.npy", take.mel)
        np.save(folder / f"heard_{number}.npy", take.heard)
    write_json(folder / "key.json", {"key": key, "takes": len(lesson.takes)})  # last: all is there
    return True


def _footage(clip: _Clip, space: MouthSpace, config: Config) -> Footage:
    """A clip's sound and universal mouth, brought to one time."""
    _, track, _ = load_coefficients(clip.root / "fit" / "coefficients.npz")
    is_trusted = track.is_trusted.numpy()
    if not is_trusted.any():
        raise FittingError("no frame shows a face well", _REMEDY)
    footage = Footage(
        samples=read_sound(clip.root / "ingest" / "sound.wav").samples,
        frame_seconds=load_index(clip.root / "ingest" / "frames.npz").seconds(),
        mouth=measure_universally(space, track.expression.numpy(), is_trusted),
        has_face=is_trusted,
        shots=load_landmarks(clip.root / "landmarks" / "landmarks.npz").shots,
    )
    speech = hear_speech(footage.samples, config.a2e.activity)
    return correct_offset(footage, config.a2e.offset_s, speech)[0]


def _lesson_key(clip: _Clip, space: MouthSpace, ears: Ears, config: Config) -> str:
    """Changes with whatever changes a lesson."""
    fit = ActorFolder(clip.root).manifest("fit")
    a2e = {name: asdict(getattr(config.a2e, name)) for name in ("voices", "activity")}
    facts = [fit.outputs if fit else "", a2e, config.a2e.offset_s, config.seed]
    content = hashlib.sha256(json.dumps(facts).encode() + ears.fingerprint)
    content.update(space.encoder.tobytes())
    return content.hexdigest()


def _read_key(folder: Path) -> str | None:
    path = folder / "key.json"
    return str(json.loads(path.read_text(encoding="utf-8"))["key"]) if path.is_file() else None


def _open_lesson(folder: Path) -> Lesson:
    count = json.loads((folder / "key.json").read_text(encoding="utf-8"))["takes"]
    sounds = (
        (np.load(folder / f"{name}_{number}.npy", mmap_mode="r") for name in ("mel", "heard"))
        for number in range(count)
    )
    takes = tuple(Sound(*arrays) for arrays in sounds)
    return Lesson(takes, np.load(folder / "targets.npy"), np.load(folder / "known.npy"))


def _save(path: Path, state: Any) -> None:
    checkpoint_keeper(path)[0](state)


def _load(path: Path) -> Any:
    return checkpoint_keeper(path)[1]()
