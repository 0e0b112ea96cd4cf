"""Under which terms prepared clips stand: what lies beside them, and what was given."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from commercial_toys import consent_to, everything_below, state_terms
from prepared_corpora import know_faces, prepare, talking_clip
from typer.testing import CliRunner

import metatalk.cli.prepare  # noqa: F401 (it adds its command)
from metatalk.cli.app import app
from metatalk.errors import MediaError, TermsError
from metatalk.stages.lipsync_clips import find_clips, stated_terms
from metatalk.stages.lipsync_corpus import open_corpus, read_sources
from metatalk.stages.terms import require_commercial, training_entries
from metatalk.workspace.consent import NOT_ON_RECORD, consent_path
from metatalk.workspace.terms import Terms

JANE = "Jane: all, granted by Jane"


@pytest.fixture(autouse=True)
def detector(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return know_faces(monkeypatch)


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return talking_clip(tmp_path_factory.mktemp("filmed") / "clip.mp4", 50)


@pytest.fixture
def clip(filmed: Path, tmp_path: Path) -> Path:
    """A clip in a folder of a folder."""
    (tmp_path / "takes" / "day").mkdir(parents=True)
    return Path(shutil.copy(filmed, tmp_path / "takes" / "day" / "a.mp4"))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return tmp_path / "corpus"


def told(source: Path, given: str | None = None) -> Terms:
    [clip] = find_clips([source])
    return stated_terms(clip, "12", given)


def noted(corpus: Path) -> list[tuple[str, str | None]]:
    return [(source.terms, source.commercial) for source in read_sources(corpus).values()]


def test_what_lies_nearest_to_a_clip_comes_first(clip: Path) -> None:
    takes = clip.parents[1]
    assert told(takes) == Terms(NOT_ON_RECORD)
    assert told(takes, "CC BY 4.0, from X") == Terms("CC BY 4.0, from X", "yes")
    state_terms(takes, "bought", True)
    assert told(takes, "MIT") == Terms("bought", "yes")
    state_terms(clip.parent, "CC BY-NC 4.0", False)
    assert told(takes, "MIT") == Terms("CC BY-NC 4.0", "no")
    state_terms(clip, "its own", True)
    assert told(takes) == Terms("its own", "yes")
    consent_to(clip, False)
    assert told(takes) == Terms(JANE, "no")


def test_folders_say_nothing_of_a_clip_that_was_named_itself(clip: Path) -> None:
    state_terms(clip.parent, "bought", True)
    assert told(clip) == Terms(NOT_ON_RECORD)
    state_terms(clip.parents[1], "bought as a whole", True)
    (clip.parent / "terms.json").unlink()
    assert told(clip.parent) == Terms(NOT_ON_RECORD)
    state_terms(clip, "its own", True)
    assert told(clip) == Terms("its own", "yes")


def test_what_does_not_answer_leaves_the_answer_to_the_next(clip: Path) -> None:
    consent_to(clip, None)
    assert told(clip.parent) == Terms(JANE)
    state_terms(clip.parent, "ask Joe")
    assert told(clip.parent) == Terms(JANE)
    assert told(clip.parent, "MIT") == Terms("MIT", "yes")
    state_terms(clip.parent, "theirs", False)
    assert told(clip.parent, "MIT") == Terms("theirs", "no")


def test_statements_reach_the_corpus_and_what_is_done(clip: Path, corpus: Path) -> None:
    takes = clip.parents[1]
    prepare(corpus, takes)
    assert noted(corpus) == [(NOT_ON_RECORD, "unknown")]
    with pytest.raises(TermsError) as refused:
        require_commercial(training_entries(corpus))
    assert "takes/day/a.mp4.consent.json" in refused.value.remedy
    consent_to(clip)  # the remedy, and it works
    assert prepare(corpus, takes).kept == 1
    assert noted(corpus) == [(JANE, "yes")]
    require_commercial(training_entries(corpus))
    [record] = (corpus / "tracks").glob("*/track.json")
    assert json.loads(record.read_text())["terms"] == JANE


@pytest.mark.parametrize("where", ["folder", "corpus"])
def test_the_other_remedies_work_too(clip: Path, corpus: Path, where: str) -> None:
    prepare(corpus, clip.parent)
    state_terms(corpus if where == "corpus" else clip.parent, "bought", True)
    if where == "folder":
        prepare(corpus, clip.parent)
    require_commercial(training_entries(corpus))


def test_a_clip_whose_consent_has_ended_is_left_out_and_forgotten(
    clip: Path, filmed: Path, tmp_path: Path, corpus: Path
) -> None:
    other = talking_clip(tmp_path / "other.mp4", 40)
    prepare(corpus, clip, other)
    consent_to(clip, True, expires="2025-02-01")
    outcome = prepare(corpus, clip, other)
    assert [source.error for source in outcome.left_out] == ["consent of Jane ended on 2025-02-01"]
    [track] = open_corpus(corpus)
    assert track.source == "other.mp4"
    assert [path.name for path in (corpus / "tracks").iterdir()] == [track.name]
    consent_to(clip)
    assert prepare(corpus, clip, other).kept == 1
    assert len(open_corpus(corpus)) == 2


def test_a_statement_that_is_none_ends_the_run_before_any_work(clip: Path, corpus: Path) -> None:
    (clip.parent / "terms.json").write_text('{"terms": ""}')
    with pytest.raises(TermsError, match="terms is empty"):
        prepare(corpus, clip.parent)
    assert not corpus.exists()


def test_the_terms_of_a_corpus_may_be_there_before_it(clip: Path, corpus: Path) -> None:
    corpus.mkdir()
    state_terms(corpus, "bought", True)
    prepare(corpus, clip, commercial_safe=True)
    require_commercial(training_entries(corpus))


def test_restricted_clips_are_refused_without_a_trace(
    clip: Path, tmp_path: Path, corpus: Path
) -> None:
    consent_to(clip)
    other = talking_clip(tmp_path / "other.mp4", 40)
    words = ["lipsync", "prepare", str(clip), str(other), "-o", str(corpus), "--workers", "1"]
    before = everything_below(tmp_path)
    ended = CliRunner().invoke(app, [*words, "commercial_safe=true"])
    assert ended.exit_code == 2
    assert "not commercially safe: 1 of 3" in ended.stderr
    assert "training footage other.mp4 (commercial use: unknown)" in ended.stderr.replace("\n", " ")
    assert everything_below(tmp_path) == before
    ended = CliRunner().invoke(app, [*words, "commercial_safe=true", "--terms", "MIT"])
    assert ended.exit_code == 0, ended.output
    assert [answer for _, answer in noted(corpus)] == ["yes", "yes"]
    ended = CliRunner().invoke(app, [*words, "commercial_safe=true"])  # what was given stays
    assert ended.exit_code == 0, ended.output


def test_restricted_tracks_of_before_are_refused_too(
    clip: Path, tmp_path: Path, corpus: Path
) -> None:
    prepare(corpus, talking_clip(tmp_path / "other.mp4", 40), terms="CC BY-NC 4.0")
    consent_to(clip)
    with pytest.raises(TermsError, match=r"training footage other\.mp4 \(commercial use: no\)"):
        prepare(corpus, clip, commercial_safe=True)


def test_what_cannot_be_prepared_is_not_asked_for_its_terms(clip: Path, corpus: Path) -> None:
    consent_path(clip).write_text("no json")
    with pytest.raises(MediaError, match="is not JSON"):
        prepare(corpus, clip, commercial_safe=True)
