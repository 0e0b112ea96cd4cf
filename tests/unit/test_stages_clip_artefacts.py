"""What is measured of a clip: with the actor where that can be, else aside, and kept there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from read_only_toys import refuse_writing

from metatalk.errors import BusyActorError, MissingAssetError, StaleArtefactError
from metatalk.stages import clip_artefacts
from metatalk.stages.clip_artefacts import bring_up_to_date, places_to_read, run_when_free
from metatalk.stages.stage import Progress, Stage, are_fresh, run_stages, silent_progress
from metatalk.workspace.actor import ActorFolder
from metatalk.workspace.clip_places import ClipPlaces, clip_places
from metatalk.workspace.manifest import Cause, Metrics


@dataclass(frozen=True)
class Watch:
    threshold: int = 3


@dataclass(frozen=True)
class Settings:
    watch: Watch = Watch()


@dataclass
class Case:
    """An actor, a clip, and a stage that counts its runs."""

    places: ClipPlaces
    sources: Mapping[str, Path]
    runs: list[str]
    config: Any = Settings()

    @property
    def stages(self) -> list[Stage]:
        return [
            Stage("look", ("clip",), 1, self._look, "watch"),
            Stage("judge", ("look",), 1, self._judge),
        ]

    def _look(
        self, inputs: Mapping[str, Path], config: Watch, out: Path, progress: Progress
    ) -> Metrics:
        self.runs.append("look")
        (out / "seen.txt").write_text(inputs["clip"].read_text() + str(config.threshold))
        return {}

    def _judge(
        self, inputs: Mapping[str, Path], config: None, out: Path, progress: Progress
    ) -> Metrics:
        self.runs.append("judge")
        (out / "judged.txt").write_text((inputs["look"] / "seen.txt").read_text() + "!")
        return {}

    def bring(self, *rerun: str) -> Path:
        return bring_up_to_date(
            self.stages, self.places, self.sources, self.config, frozenset(rerun), silent_progress
        )

    def fresh(self, root: Path) -> bool:
        return are_fresh(self.stages, root, self.sources, self.config)


def files(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("*")}


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setenv("METATALK_CACHE", str(tmp_path / "cache"))
    actor, clip = ActorFolder(tmp_path / "jane"), tmp_path / "clip.mp4"
    clip.write_text("film")
    cause = Cause("fit", 1, {}, {})
    (actor.begin(cause, resume=False) / "x.txt").write_text("fitted")
    actor.finish(cause, {}, 1.0)
    return Case(clip_places(actor, clip), {"clip": clip}, [])


@pytest.fixture
def mount(case: Case, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the actor's folder be one that can only be read, from here on."""
    return lambda: refuse_writing(monkeypatch, case.places.actor.root)


def test_it_lies_with_the_actor_where_that_can_be(case: Case) -> None:
    assert case.bring() == case.bring() == case.places.own
    assert case.runs == ["look", "judge"]
    assert not case.places.aside.exists()


def test_what_is_there_is_read_and_nothing_is_touched(
    case: Case, mount: Callable[[], None], tmp_path: Path
) -> None:
    case.bring()
    before = files(tmp_path)
    mount()
    assert case.bring() == case.places.own
    assert len(case.runs) == 2
    assert files(tmp_path) == before  # not even the cache


def test_what_is_missing_is_made_aside_and_kept(
    case: Case, mount: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    mount()
    before = files(case.places.actor.root)
    with caplog.at_level(logging.WARNING):
        root = case.bring()
        assert root == case.bring() == case.places.aside
    assert (root / "judge" / "judged.txt").read_text() == "film3!"
    assert case.runs == ["look", "judge"]
    assert files(case.places.actor.root) == before
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith(f"{case.places.actor.root} cannot be written: ")
    assert str(root) in told


def test_what_is_stale_is_not_read(case: Case, mount: Callable[[], None]) -> None:
    case.bring()
    case.config = Settings(Watch(5))
    with pytest.raises(StaleArtefactError):  # where it could be made anew, that is asked first
        case.bring()
    mount()
    root = case.bring()
    assert root == case.places.aside
    assert (root / "judge" / "judged.txt").read_text() == "film5!"
    assert (case.places.own / "judge" / "judged.txt").read_text() == "film3!"


def test_what_is_made_anew_on_demand_is_read_from_then_on(
    case: Case, mount: Callable[[], None]
) -> None:
    case.bring()
    mount()
    assert case.bring("look") == case.places.aside
    assert case.runs == ["look", "judge", "look", "judge"]
    assert case.bring() == case.places.aside
    assert case.bring("train_a2e") == case.places.aside  # a stage that is none of these
    assert len(case.runs) == 4


def test_what_is_read_is_what_would_be_brought(case: Case, mount: Callable[[], None]) -> None:
    own, aside = case.places.own, case.places.aside
    assert list(places_to_read(case.places)) == [own, aside]
    assert not own.parent.exists()
    case.bring()
    mount()
    assert case.bring("look") == aside
    assert list(places_to_read(case.places)) == [aside, own]


def test_of_an_actor_without_a_fit_nothing_lies_aside(
    case: Case, mount: Callable[[], None]
) -> None:
    actor = case.places.actor
    actor.path("fit").rename(actor.path("was"))
    assert list(places_to_read(case.places)) == [case.places.own]
    mount()
    assert list(places_to_read(case.places)) == [case.places.own]


def test_where_nothing_can_be_kept_that_is_told(
    case: Case, mount: Callable[[], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mount()
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("METATALK_CACHE", str(tmp_path / "file"))
    with pytest.raises(MissingAssetError, match="METATALK_CACHE"):
        case.bring()


def test_only_what_run_stages_would_skip_is_fresh(case: Case) -> None:
    own = case.places.own
    assert not case.fresh(own)
    assert not own.exists()
    case.bring()
    assert case.fresh(own)
    case.config = Settings(Watch(4))
    assert not case.fresh(own)
    case.config = Settings()
    case.sources["clip"].write_text("another film")
    assert not case.fresh(own)
    case.sources["clip"].write_text("film")
    assert case.fresh(own)
    first = case.stages[0]
    stages = [replace(first, revision=2), case.stages[1]]
    assert not are_fresh(stages, own, case.sources, case.config)
    # made anew by another version: what was learned from it is not fresh either
    run_stages(stages[:1], own, case.sources, replace(case.config, watch=Watch(9)),
               frozenset({"look"}))  # fmt: skip
    assert not are_fresh([replace(first, revision=2, section=None), case.stages[1]], own,
                         case.sources, case.config)  # fmt: skip
    (own / "look" / "manifest.json").write_text("{")
    assert not case.fresh(own)


def test_it_waits_for_another_drive_of_the_clip_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []

    def busy(*_: object) -> None:
        calls.append(1)
        if len(calls) < 5:
            raise BusyActorError("in use by another process")

    monkeypatch.setattr(clip_artefacts, "run_stages", busy)
    monkeypatch.setattr(clip_artefacts, "POLL_S", 0.0)
    # However late it has become: a lock that is held has a living holder.
    hours = iter(range(0, 10**9, 3600))
    monkeypatch.setattr(clip_artefacts.time, "monotonic", lambda: next(hours))
    config: Any = Settings()
    with caplog.at_level("INFO", logger=clip_artefacts.__name__):
        run_when_free([], Path(), {}, config, frozenset(), silent_progress)
    assert len(calls) == 5
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "waiting" in caplog.text
