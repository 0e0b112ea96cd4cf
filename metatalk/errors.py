"""Everything that can go wrong and that the user can put right."""

from __future__ import annotations


class MetatalkError(Exception):
    """Something the user can put right; it carries the problem and the remedy.

    Args:
        problem: what is wrong, with the numbers and names that show where.
        remedy: what to do about it. It has a default only because an exception raised
            in a worker process is rebuilt from its first argument.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy)
        self.problem, self.remedy = problem, remedy

    def __str__(self) -> str:
        return f"{self.problem}\n  remedy: {self.remedy}" if self.remedy else self.problem


class MissingAssetError(MetatalkError):
    """A file, package, checkpoint or device that was asked for is not there."""


class ConfigError(MetatalkError):
    """A configuration key, value or combination that cannot be used."""


class MediaError(MetatalkError):
    """A video or audio file that cannot be read, written or used."""


class ShapeError(MetatalkError):
    """An array whose shape is not the documented one."""


class StaleArtefactError(MetatalkError):
    """An artefact that was made from other inputs or settings than those asked for now."""


class BusyActorError(MetatalkError):
    """Another process is working on the same actor folder."""


class FittingError(MetatalkError):
    """Footage from which no face could be reconstructed."""


class ConsentError(MetatalkError):
    """Footage whose actor's consent is not on record, or no longer covers the use."""


class TermsError(MetatalkError):
    """Something whose terms forbid the use that was asked for, or are not known."""


class CurvesError(MetatalkError):
    """A file of curves from another program that cannot be read or used."""
