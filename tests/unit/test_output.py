"""A result's place is checked before the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from metatalk.errors import MediaError
from metatalk.workspace.output import named_path, require_apart, require_output


def test_a_free_place_is_made_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    require_output(tmp_path / "new" / "x.mp4", [])
    assert list((tmp_path / "new").iterdir()) == []


def test_an_older_result_may_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"old")
    require_output(tmp_path / "x.mp4", [tmp_path / "y.mp4"])
    assert (tmp_path / "x.mp4").read_bytes() == b"old"


def test_what_cannot_be_written_is_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    link = tmp_path / "link.mp4"
    link.symlink_to(tmp_path / "file")
    for output, sources in (
        (tmp_path, []),  # a folder
        (tmp_path / "file" / "x.mp4", []),  # a file where a folder is wanted
        (link, [tmp_path / "file"]),  # a source under another name
    ):
        with pytest.raises(MediaError) as refusal:
            require_output(output, sources)
        assert refusal.value.remedy


STAGES = ("ingest", "fit")


@pytest.fixture
def actor(tmp_path: Path) -> Path:
    root = tmp_path / "jane"
    (root / "fit").mkdir(parents=True)
    (root / "fit" / "manifest.json").write_text("{}")
    return root


@pytest.mark.parametrize(
    "part",
    ["", "config.json", "ledger.json", "footage.json", ".lock", "fit", "fit/a.csv", "ingest/a/b",
     "fit.partial/a.csv", "targets/0123/a.mp4", "report/../fit/a.csv"],
)  # fmt: skip
def test_parts_of_an_actor_are_refused(actor: Path, part: str) -> None:
    for roots in ([], [actor]):  # told by its artefacts, or known
        with pytest.raises(MediaError, match="is a part of an actor"):
            require_apart(actor / part, STAGES, roots)


@pytest.mark.parametrize(
    "part", ["a.csv", "report/a.csv", "fitted/a.csv", "stills", "../fit/a.csv"]
)
def test_places_beside_the_artefacts_are_free(actor: Path, part: str) -> None:
    require_apart(actor / part, STAGES, [actor])


def test_a_folder_without_artefacts_is_no_actor(tmp_path: Path) -> None:
    require_apart(tmp_path / "fit" / "config.json", STAGES)
    with pytest.raises(MediaError):
        require_apart(tmp_path / "fit" / "config.json", STAGES, [tmp_path])


def test_every_path_but_a_root_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    assert named_path(Path()) == tmp_path / "in"
    assert named_path(Path("..")) == tmp_path
    assert named_path(Path("a/b.mp4")) == Path("a/b.mp4")
    with pytest.raises(MediaError, match="root"):
        named_path(Path("/"))
