"""A result's place is checked before the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from metatalk.errors import MediaError
from metatalk.workspace.output import require_output


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
