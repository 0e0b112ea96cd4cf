"""Whose footage this is, and who said that it may be used."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path

from metatalk.errors import ConsentError
from metatalk.workspace.ledger import FOOTAGE, Entry
from metatalk.workspace.terms import to_commercial

log = logging.getLogger(__name__)

NOT_ON_RECORD = "consent not on record"
REMEDY = (
    'write a JSON file such as {"actor": "Jane Doe", "scope": "dubbing of FILM", '
    '"granted_by": "Jane Doe", "date": "2026-01-31", "expires": "2027-01-31", "commercial": true}'
)


@dataclass(frozen=True)
class Consent:
    """A person's leave to make their face say other words."""

    actor: str
    scope: str
    granted_by: str
    date: str  # ISO 8601
    expires: str | None = None  # ISO 8601, the last day; None: until withdrawn
    footage: str | None = None  # digest of the one clip it covers, None: any
    commercial: bool | None = None  # whether it covers commercial use; None: it does not say

    def __post_init__(self) -> None:
        for name in ("actor", "scope", "granted_by"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise ConsentError(f"consent: {name} is empty", REMEDY)
        for name in ("date", "expires"):
            if getattr(self, name) is not None:
                _require_date(name, getattr(self, name))
        if not (self.commercial is None or isinstance(self.commercial, bool)):
            raise ConsentError(
                f"consent: commercial is {self.commercial!r}, not true or false", REMEDY
            )


def consent_path(clip: Path) -> Path:
    """Where a consent lies that goes with a clip: `NAME.consent.json` beside it.

    >>> consent_path(Path("takes/jane.mp4")).as_posix()
    'takes/jane.mp4.consent.json'
    """
    return clip.with_name(f"{clip.name}.consent.json")


def read_consent(path: Path) -> Consent:
    """Read a consent file.

    Args:
        path: a JSON file with the fields of `Consent`.

    Returns:
        The consent, its fields checked.

    Raises:
        ConsentError: no such file, no JSON, a field missing, unknown or empty.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Consent(**content)
    except OSError as error:
        raise ConsentError(f"{path}: cannot be read ({error.strerror})", REMEDY) from error
    except ValueError as error:
        raise ConsentError(f"{path}: is not JSON ({error})", REMEDY) from error
    except TypeError as error:
        names = ", ".join(field.name for field in fields(Consent))
        raise ConsentError(f"{path}: needs the fields {names}", REMEDY) from error


def footage_entry(clip: Path, digest: str, consent: Consent | None, today: date) -> Entry:
    """Word the ledger's line about an actor's footage.

    Args:
        clip: the footage.
        digest: digest of its content.
        consent: what was given, or None: what lies beside the clip, see `consent_path`.
        today: the day of use.

    Returns:
        The entry; without consent its terms read "not on record", and a warning is logged.

    Raises:
        ConsentError: the consent has expired, is not yet given, or covers other footage; or one
            that lies beside the clip cannot be read.
    """
    if consent is None and consent_path(clip).is_file():
        consent = read_consent(consent_path(clip))
    if consent is None:
        log.warning(
            "%s: consent is not on record; put it beside the clip as %s",
            clip.name,
            consent_path(clip).name,
        )
        return Entry(FOOTAGE, clip.name, NOT_ON_RECORD, digest)
    if date.fromisoformat(consent.date) > today:
        raise ConsentError(f"consent of {consent.actor} begins on {consent.date}", "wait, or ask")
    if consent.expires is not None and date.fromisoformat(consent.expires) < today:
        raise ConsentError(
            f"consent of {consent.actor} ended on {consent.expires}", "ask for a new one"
        )
    if consent.footage not in (None, digest):
        raise ConsentError(
            f"consent of {consent.actor} covers other footage than {clip.name} ({digest})",
            "train on the footage it names, or ask for a consent to this",
        )
    until = f" until {consent.expires}" if consent.expires else ""
    terms = f"{consent.actor}: {consent.scope}, granted by {consent.granted_by}{until}"
    return Entry(FOOTAGE, clip.name, terms, digest, to_commercial(consent.commercial))


def find_consented(entries: Iterable[Entry], digest: str) -> Entry | None:
    """Find the entry of some footage that names a consent.

    Args:
        entries: the actor's ledger.
        digest: digest of the footage.

    Returns:
        The entry; None where no consent to that footage is on record.
    """
    for entry in entries:
        if entry.kind == FOOTAGE and entry.digest == digest and entry.terms != NOT_ON_RECORD:
            return entry
    return None


def is_consented(entries: Iterable[Entry], digest: str) -> bool:
    """Say whether a consent to some footage is on record already.

    Args:
        entries: the actor's ledger.
        digest: digest of the footage.

    Returns:
        True where an entry of that digest names a consent.
    """
    return find_consented(entries, digest) is not None


def _require_date(name: str, text: str) -> None:
    try:
        date.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise ConsentError(f"consent: {name} is {text!r}, not a date", REMEDY) from error
