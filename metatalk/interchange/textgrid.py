"""Read when each phone is spoken from a Praat TextGrid."""

from __future__ import annotations

import re
from pathlib import Path

from praatio import textgrid
from praatio.data_classes.interval_tier import IntervalTier
from praatio.utilities.errors import PraatioException

from metatalk.a2e.phone_times import PhoneTimes, phone_times
from metatalk.errors import MediaError, MissingAssetError

_TIERS = re.compile(r"(^|[\s_\-–:])(phones?|phonemes?|phon|segments?|mau)$", re.IGNORECASE)


def read_textgrid(path: Path) -> PhoneTimes:
    """Read the phones of a Praat TextGrid, such as MFA, MAUS and Praat write.

    Args:
        path: short or long text format. Phones are read from the interval tiers called
            "phones", "phone", "MAU" or the like; several speakers' are put together.

    Returns:
        The phones.

    Raises:
        MissingAssetError: there is no such file.
        MediaError: it is no TextGrid, or has no tier of phones.
    """
    if not path.is_file():
        raise MissingAssetError(f"{path}: no such TextGrid", "check the path of --phones")
    try:
        grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=True)
    except (PraatioException, ValueError, IndexError, KeyError, OSError, AssertionError) as error:
        raise MediaError(
            f"{path}: not a TextGrid that can be read", "save it as a text file in Praat"
        ) from error
    tiers = [grid.getTier(name) for name in grid.tierNames if _TIERS.search(name.strip())]
    found = [tier for tier in tiers if isinstance(tier, IntervalTier)]
    if not found:
        raise MediaError(
            f"{path}: none of its tiers holds phones: {', '.join(grid.tierNames) or 'it is empty'}",
            "call the interval tier with the phones 'phones'; words alone: use --transcript",
        )
    entries = [entry for tier in found for entry in tier.entries]
    return phone_times([(float(e.start), float(e.end), e.label) for e in entries])
