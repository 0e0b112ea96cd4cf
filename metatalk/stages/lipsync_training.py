"""Train the lip-sync expert and the Wav2Lip generator on a prepared corpus."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file
from safetensors.torch import save as weights_to_bytes
from torch import Tensor

from metatalk.config import Config
from metatalk.errors import ConfigError
from metatalk.lipsync.checkpoints import KINDS, load_network
from metatalk.lipsync.learning.expert import ExpertCourse
from metatalk.lipsync.learning.generator import TeacherCourse
from metatalk.lipsync.learning.loop import Course, run_course
from metatalk.lipsync.syncnet import ColourExpert
from metatalk.lipsync.tracks import Track
from metatalk.lipsync.wav2lip import QualityDiscriminator, Wav2Lip
from metatalk.stages.artefacts import write_bytes
from metatalk.stages.device import choose_device
from metatalk.stages.lipsync_corpus import open_corpus
from metatalk.stages.provenance import write_network_ledger
from metatalk.stages.stage import ProgressFactory, silent_progress
from metatalk.stages.terms import (
    checkpoint_entry,
    judge_entry,
    require_commercial,
    trained_metadata,
    training_entries,
    wav2lip_entry,
)
from metatalk.stages.training_work import LoggedProgress, TrainingWork
from metatalk.workspace.actor import ActorFolder, disk_errors_remedied
from metatalk.workspace.digest import digest_file
from metatalk.workspace.ledger import Entry
from metatalk.workspace.manifest import Metrics
from metatalk.workspace.output import named_path, require_output

log = logging.getLogger(__name__)

# What decides how fast a training is, not what comes out.
_NO_CAUSE = frozenset({"workers"})


def train_expert(
    corpus: Path,
    output: Path,
    config: Config,
    start: Path | None = None,
    progress_factory: ProgressFactory = silent_progress,
) -> Metrics:
    """Train a lip-sync expert; a run that was killed goes on where it was.

    Args:
        corpus: a prepared corpus.
        output: the weights' file, safetensors with the official keys. The folder beside it,
            `OUTPUT.work`, keeps the state and TensorBoard's curves; it may be deleted afterwards.
        config: all settings; `expert` is its own section.
        start: weights to go on from, official or ours; None: random ones.
        progress_factory: who is told how far it is.

    Returns:
        The figures on what was held out.

    Raises:
        MetatalkError: whatever the user can mend.
    """
    own = [judge_entry(start)] if start else []
    tracks, entries = _open(corpus, output, config, own, [start])
    begun = load_network(ColourExpert, start)[0].state_dict() if start else None
    course = ExpertCourse(tracks, config.expert, config.seed, begun)
    return _train(course, tracks, output, config, entries, {"start": start}, progress_factory)


def train_generator(
    corpus: Path,
    expert: Path,
    output: Path,
    config: Config,
    start: Path | None = None,
    critic: Path | None = None,
    progress_factory: ProgressFactory = silent_progress,
) -> Metrics:
    """Train Wav2Lip's generator under an expert; a run that was killed goes on where it was.

    Args:
        corpus: a prepared corpus.
        expert: the lip-sync expert's weights, official or ours.
        output: the weights' file, as `train_expert` writes it.
        config: all settings; `teacher` is its own section.
        start: the generator's weights to go on from, official or ours; None: random ones.
        critic: the quality discriminator's, likewise. `OUTPUT.work/critic.safetensors` is the
            one that a training leaves behind.
        progress_factory: who is told how far it is.

    Returns:
        The figures on what was held out.

    Raises:
        MetatalkError: whatever the user can mend.
    """
    own = [judge_entry(expert), *([wav2lip_entry(start)] if start else [])]
    own += [_critic_entry(critic)] if critic else []
    tracks, entries = _open(corpus, output, config, own, [expert, start, critic])
    judge = load_network(ColourExpert, expert)[0]
    begun = load_network(Wav2Lip, start)[0].state_dict() if start else None
    against = load_network(QualityDiscriminator, critic)[0].state_dict() if critic else None
    course = TeacherCourse(tracks, judge, config.teacher, config.seed, begun, against)
    causes = {"expert": expert, "start": start, "critic": critic}
    return _train(course, tracks, output, config, entries, causes, progress_factory)


def _open(
    corpus: Path,
    output: Path,
    config: Config,
    own: Sequence[Entry],
    files: Sequence[Path | None],
) -> tuple[list[Track], list[Entry]]:
    """The tracks and all that goes into the training; complains before anything is made."""
    tracks = open_corpus(corpus)
    entries = [*training_entries(corpus), *own]
    if config.commercial_safe:
        require_commercial(entries)
    choose_device(config.device)
    place = named_path(output)
    folder = place.with_name(place.name + ".work").resolve()
    for path in files:
        if path and path.resolve().is_relative_to(folder):
            raise ConfigError(
                f"{path} lies in the folder of the training that is asked for",
                "give --output another name, or copy the file out of the folder first",
            )
    require_output(output, [path for path in files if path])
    return tracks, entries


def _critic_entry(critic: Path) -> Entry:
    kind = KINDS[QualityDiscriminator]
    return checkpoint_entry(critic, kind.title, kind.terms)


def _train(
    course: Course,
    tracks: Sequence[Track],
    output: Path,
    config: Config,
    entries: Sequence[Entry],
    files: Mapping[str, Path | None],
    progress_factory: ProgressFactory,
) -> Metrics:
    place = named_path(output)
    folder = place.with_name(place.name + ".work")
    cause = {
        "network": course.section,
        "settings": {k: v for k, v in asdict(course.config).items() if k not in _NO_CAUSE},
        "seed": config.seed,
        "tracks": [[track.name, track.digest, track.split] for track in tracks],
        **{name: digest_file(path) if path else None for name, path in files.items()},
    }
    with disk_errors_remedied(folder), ActorFolder(folder).lock():
        with progress_factory(course.section) as progress:
            # A bar cannot be handed to another process; a line in the log can.
            alone = course.config.devices == 1
            told: Callable[..., None] = progress if alone else LoggedProgress(course.section)
            work = TrainingWork(folder, told, trained_metadata(entries))
            work.begin(cause)
            if (metrics := work.finished(place)) is not None:
                log.info("%s is trained already; to train it anew, delete it", place)
                _restate(place, work, entries, metrics)
                return metrics
            state, figures = run_course(
                course, config.seed, work.journal(), choose_device(config.device).type
            )
        _save(place, state, {**trained_metadata(entries), "figures": json.dumps(figures)})
        write_network_ledger(place, entries)
        length = sum(len(track.faces) for track in tracks)
        metrics = {**figures, "tracks": len(tracks), "footage_s": length / 25}
        work.end(place, metrics)
    return metrics


def _restate(
    place: Path, work: TrainingWork, entries: Sequence[Entry], metrics: Mapping[str, Any]
) -> None:
    """Let weights that are trained say the terms that their footage has now."""
    with safe_open(place, framework="pt") as file:
        said = file.metadata() or {}
    kept = {key: said[key] for key in said if key not in ("terms", "commercial")}
    now = {**kept, **trained_metadata(entries)}
    if now != said:
        _save(place, load_file(place), now)
        work.restate()
        work.end(place, metrics)
    write_network_ledger(place, entries)


def _save(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write weights, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    plain: dict[str, Any] = {name: value.contiguous() for name, value in state.items()}
    try:
        write_bytes(partial, weights_to_bytes(plain, {**metadata, "made_with": "metatalk"}))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
