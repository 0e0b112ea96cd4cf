"""What a user states about a file of theirs: its terms, and whether they allow commercial use."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metatalk.errors import TermsError
from metatalk.workspace.ledger import Commercial

FILE = "terms.json"
REMEDY = 'write {"terms": "CC BY 4.0, from WHERE", "commercial": true}'


@dataclass(frozen=True)
class Terms:
    """A statement about a file or folder, made by whoever answers for it."""

    terms: str
    commercial: Commercial = "unknown"


def terms_path(path: Path) -> Path:
    """Where the terms of something are stated.

    Args:
        path: a file, or a folder such as a corpus.

    Returns:
        `FOLDER/terms.json`, or `NAME.terms.json` beside a file. A folder's statement says nothing
        about single files in it: they may come from anywhere.

    >>> terms_path(Path("models/wav2lip.pth")).as_posix()
    'models/wav2lip.pth.terms.json'
    """
    return path / FILE if path.is_dir() else path.with_name(f"{path.name}.{FILE}")


def find_terms(path: Path) -> Terms | None:
    """Read what is stated about a file or folder.

    Args:
        path: the file or folder, which need not be there.

    Returns:
        The statement; None where there is none.

    Raises:
        TermsError: there is one, and it cannot be understood.
    """
    place = terms_path(path)
    try:
        content = json.loads(place.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise TermsError(f"{place}: cannot be read ({error.strerror})", REMEDY) from error
    except ValueError as error:
        raise TermsError(f"{place}: is not JSON ({error})", REMEDY) from error
    return _parse(content, place)


def _parse(content: Any, place: Path) -> Terms:
    if not isinstance(content, dict) or set(content) - {"terms", "commercial"}:
        raise TermsError(f"{place}: needs the keys terms and commercial, and no others", REMEDY)
    terms, commercial = content.get("terms"), content.get("commercial")
    if not isinstance(terms, str) or not terms.strip():
        raise TermsError(f"{place}: terms is empty", REMEDY)
    if not (commercial is None or isinstance(commercial, bool)):
        raise TermsError(f"{place}: commercial is {commercial!r}, not true, false or null", REMEDY)
    return Terms(terms.strip(), to_commercial(commercial))


def to_commercial(stated: bool | None) -> Commercial:
    """Word a yes, a no or silence as ledgers do.

    >>> to_commercial(None)
    'unknown'
    """
    if stated is None:
        return "unknown"
    return "yes" if stated else "no"
