from __future__ import annotations

import json
import logging
from datetime import date
from pathlib import Path

import pytest

from metatalk.errors import ConsentError
from metatalk.workspace.consent import Consent, footage_entry, is_consented, read_consent

JANE = {"actor": "Jane", "scope": "dubbing", "granted_by": "Jane", "date": "2026-01-31"}
CLIP, TODAY = Path("jane.mp4"), date(2026, 6, 1)


def written(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "consent.json"
    path.write_text(json.dumps(content))
    return path


def test_consent_is_worded_in_the_ledger(tmp_path: Path) -> None:
    consent = read_consent(written(tmp_path, {**JANE, "expires": "2027-01-31"}))
    entry = footage_entry(CLIP, "aa", consent, TODAY)
    assert entry.terms == "Jane: dubbing, granted by Jane until 2027-01-31"
    assert is_consented([entry], "aa")
    assert not is_consented([entry], "bb")


def test_no_consent_is_said_aloud(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "metatalk"):
        entry = footage_entry(CLIP, "aa", None, TODAY)
    assert "not on record" in entry.terms
    assert f"{CLIP.name}.consent.json" in caplog.text
    assert not is_consented([entry], "aa")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"expires": "2026-05-31"}, "ended on 2026-05-31"),
        ({"date": "2026-06-02"}, "begins on 2026-06-02"),
        ({"footage": "bb"}, "other footage"),
    ],
)
def test_consent_that_does_not_cover_the_use(change: dict[str, str], said: str) -> None:
    with pytest.raises(ConsentError, match=said):
        footage_entry(CLIP, "aa", Consent(**{**JANE, **change}), TODAY)


@pytest.mark.parametrize(
    "content",
    [{}, [], 3, {**JANE, "more": 1}, {**JANE, "actor": " "}, {**JANE, "date": "soon"},
     {**JANE, "expires": 3}],
)  # fmt: skip
def test_unusable_files_end_in_a_remedy(tmp_path: Path, content: object) -> None:
    with pytest.raises(ConsentError, match="remedy"):
        read_consent(written(tmp_path, content))


def test_missing_file_and_no_json(tmp_path: Path) -> None:
    with pytest.raises(ConsentError, match="cannot be read"):
        read_consent(tmp_path / "nothing.json")
    (tmp_path / "text.json").write_text("yes, you may")
    with pytest.raises(ConsentError, match="not JSON"):
        read_consent(tmp_path / "text.json")


def test_presenters_consent_is_usable() -> None:
    shipped = Path(__file__).resolve().parents[2] / "metatalk" / "presenter" / "consent.json"
    assert "synthetic" in read_consent(shipped).actor
