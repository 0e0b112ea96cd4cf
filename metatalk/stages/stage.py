"""Stages: pure functions from artefacts to an artefact, and the runner that skips and resumes.

A stage file holds a `compute` and a `Stage`; the runner does everything about folders::

    def compute(
        inputs: Mapping[str, Path], config: NeuralConfig, out: Path, progress: Progress,
        *, seed: int, device: str,
    ) -> Metrics:
        faces = open_faces(inputs["render"])  # the folder of render's artefact
        for step in range(config.steps):
            progress(step, config.steps, f"loss {loss:.3f}")
        save_file(weights, out / "weights.safetensors")
        return {"psnr_db": psnr_db}

    TRAIN_RENDERER = Stage(
        "train_renderer", reads=("render",), revision=1, compute=compute,
        section="neural", also=("seed", "device"), resumable=True,
    )

    metrics = run_stages([INGEST, FIT, RENDER, TRAIN_RENDERER], actor_root, {"clip": clip}, config)
    metrics["fit"]["landmark_error_px"]

`inputs` holds just what `reads` names: folders of earlier stages, paths of sources. `out` is the
partial folder; with `resumable` it may hold what an earlier, killed run of the same cause wrote
(look there for a checkpoint, and remove it when done), otherwise it is empty.
"""

from __future__ import annotations

import difflib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, Protocol

from metatalk.errors import ConfigError, MissingAssetError, StaleArtefactError
from metatalk.workspace.actor import ActorFolder, disk_errors_remedied
from metatalk.workspace.digest import digest_path
from metatalk.workspace.manifest import Cause, Manifest, Metrics, explain_changes, write_json

log = logging.getLogger(__name__)

# In the order in which they run; drive and evaluate make no artefact of the actor's.
STAGE_NAMES = ("ingest", "landmarks", "fit", "render", "pseudo", "train_a2e", "train_renderer")

# Where something runs must not decide what comes out, and how a trained mouth is read is asked
# when it is read: neither is part of a cause.
WHILE_SPEAKING = (
    *("amplitude", "smooth_s", "seen", "neighbours", "features.prior_s", "kernel.foreign"),
    *("activity.threshold", "activity.shortest_s", "activity.lead_s", "activity.trail_s"),
    *("activity.attack_s", "activity.release_s"),
)
NOT_A_CAUSE = frozenset({"device", "render.backend", *(f"a2e.{key}" for key in WHILE_SPEAKING)})


class Progress(Protocol):
    """Told how far a stage has come; cheap enough to be called for every frame."""

    def __call__(self, done: int, total: int | None, note: str = "", /) -> None:
        """Report `done` of `total` (None: unknown) frames or steps, and a few words."""


ProgressFactory = Callable[[str], AbstractContextManager[Progress]]


def no_progress(done: int, total: int | None, note: str = "", /) -> None:
    """Report to nobody."""


def silent_progress(stage: str) -> AbstractContextManager[Progress]:
    """Make the `Progress` of a stage that nobody watches."""
    return nullcontext(no_progress)


@dataclass(frozen=True)
class Stage:
    """One step of the way: what it reads, what decides its outputs, what it does."""

    name: str
    reads: tuple[str, ...]  # names of earlier stages and of sources
    revision: int  # raised in the commit that makes equal inputs give other outputs
    compute: Callable[..., Metrics]  # (inputs, section, out, progress, **also) -> metrics
    section: str | None = None  # name of the config section handed to compute, None: none
    also: tuple[str, ...] = ()  # further config fields, handed over by keyword
    resumable: bool = False  # continues from its own partial folder


def run_stages(
    stages: Sequence[Stage],
    workspace: Path,
    sources: Mapping[str, Path],
    config: Any,
    rerun: frozenset[str] = frozenset(),
    progress_factory: ProgressFactory = silent_progress,
) -> dict[str, Metrics]:
    """Bring artefacts up to date: skip what is fresh, compute what is absent, never overwrite.

    Args:
        stages: in an order in which each comes after those it reads.
        workspace: the actor folder; it is made, and locked while stages run.
        sources: files or finished folders from outside, by the names stages read them under.
        config: the root configuration dataclass.
        rerun: names of stages to compute again although an artefact is there; "all" is all.
        progress_factory: gives a context manager of `Progress` for a stage that is computed.

    Returns:
        Each stage's metrics, old or new, with `seconds`, the time it took.

    Raises:
        StaleArtefactError: an artefact was made from something else; nothing was overwritten.
        ConfigError: `rerun` names no stage.
        MissingAssetError: a stage reads what is neither a source nor an earlier stage.
        BusyActorError: another process works on the folder.
    """
    again = _names_to_rerun(rerun, stages)
    folder = ActorFolder(workspace)
    with disk_errors_remedied(workspace), folder.lock():
        digests = {name: digest_path(path) for name, path in sources.items()}
        _refuse_stale(stages, folder, config, digests, again)
        write_json(folder.root / "config.json", asdict(config))
        metrics = {}
        for stage in stages:
            cause = _cause(stage, config, digests)
            manifest = folder.manifest(stage.name)
            if manifest is not None and stage.name not in again:
                _require_same(stage, manifest, cause, stages)
                log.info("%s: up to date", stage.name)
            else:
                paths = {name: sources.get(name, folder.path(name)) for name in stage.reads}
                manifest = _run(stage, folder, cause, paths, config, progress_factory)
            digests[stage.name] = manifest.outputs
            metrics[stage.name] = {**manifest.metrics, "seconds": manifest.seconds}
        return metrics


def are_fresh(
    stages: Sequence[Stage], workspace: Path, sources: Mapping[str, Path], config: Any
) -> bool:
    """Tell whether artefacts are all there and made from just this; nothing is written.

    Args:
        stages: in an order in which each comes after those it reads.
        workspace: the folder that may hold them.
        sources: files or finished folders from outside, by the names stages read them under.
        config: the root configuration dataclass.

    Returns:
        Whether `run_stages` would compute nothing.
    """
    folder = ActorFolder(workspace)
    digests = {name: digest_path(path) for name, path in sources.items()}
    for stage in stages:
        try:
            manifest = folder.manifest(stage.name)
        except (OSError, StaleArtefactError):  # a record that cannot be read, or is damaged
            return False
        if manifest is None or explain_changes(manifest.cause, _cause(stage, config, digests)):
            return False
        digests[stage.name] = manifest.outputs
    return True


def _run(
    stage: Stage,
    folder: ActorFolder,
    cause: Cause,
    paths: Mapping[str, Path],
    config: Any,
    progress_factory: ProgressFactory,
) -> Manifest:
    section = getattr(config, stage.section) if stage.section else None
    also = {name: getattr(config, name) for name in stage.also}
    out = folder.begin(cause, stage.resumable)
    started = time.monotonic()
    with progress_factory(stage.name) as progress:
        metrics = stage.compute(paths, section, out, progress, **also)
    manifest = folder.finish(cause, metrics, time.monotonic() - started)
    log.info("%s: done in %.1f s", stage.name, manifest.seconds)
    return manifest


def _cause(stage: Stage, config: Any, digests: Mapping[str, str]) -> Cause:
    names = [stage.section] if stage.section else []
    names += [name for name in stage.also if name not in NOT_A_CAUSE]
    settings = {name: _causes(name, _plain(getattr(config, name))) for name in names}
    return Cause(stage.name, stage.revision, settings, {key: digests[key] for key in stage.reads})


def _causes(section: str, value: Any) -> Any:
    """A section without the keys that are no cause; any other value as it is."""
    if not isinstance(value, dict):
        return value
    kept = {key: part for key, part in value.items() if f"{section}.{key}" not in NOT_A_CAUSE}
    return {key: _causes(f"{section}.{key}", part) for key, part in kept.items()}


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _refuse_stale(
    stages: Sequence[Stage],
    folder: ActorFolder,
    config: Any,
    sources: Mapping[str, str],
    rerun: frozenset[str],
) -> None:
    """Stop before any work when a stage later on could not be used anyway."""
    digests = dict(sources)
    for stage in stages:
        _require_readable(stage, sources, stages)
        folder.settle(stage.name)
        manifest = folder.manifest(stage.name)
        if manifest is None or stage.name in rerun:
            continue
        # What an earlier stage is yet to write is taken to come out the same.
        expected = {**manifest.cause.inputs, **digests}
        cause = _cause(stage, config, {name: expected.get(name, "") for name in stage.reads})
        _require_same(stage, manifest, cause, stages)
        digests[stage.name] = manifest.outputs


def _require_readable(stage: Stage, sources: Mapping[str, str], stages: Sequence[Stage]) -> None:
    earlier = {other.name for other in stages[: stages.index(stage)]}
    for name in stage.reads:
        if name not in sources and name not in earlier:
            raise MissingAssetError(f"stage {stage.name} reads {name}, which is not given")


def _require_same(stage: Stage, manifest: Manifest, now: Cause, stages: Sequence[Stage]) -> None:
    changes = explain_changes(manifest.cause, now)
    if changes:
        names = ",".join(_with_later(stage, stages))
        raise StaleArtefactError(
            f"{stage.name} was made from something else: " + "; ".join(changes),
            f"to make it anew, and what follows from it: --rerun {names}; "
            "to keep it, go back to the settings and footage it was made from",
        )


def _with_later(first: Stage, stages: Sequence[Stage]) -> list[str]:
    names = [first.name]
    for stage in stages:
        if any(name in names for name in stage.reads):
            names.append(stage.name)
    return names


def _names_to_rerun(rerun: frozenset[str], stages: Sequence[Stage]) -> frozenset[str]:
    known = [stage.name for stage in stages]
    if "all" in rerun:
        return frozenset(known)
    for name in sorted(rerun - {*known, *STAGE_NAMES}):
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ConfigError(f"--rerun {name}: no such stage", f"{hint}stages: {', '.join(known)}")
    return rerun
