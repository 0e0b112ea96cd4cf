"""Settings of where the filmed mouth is kept because a new one would be seen to be false."""

from __future__ import annotations

from dataclasses import dataclass

from metatalk.errors import ConfigError


@dataclass(frozen=True)
class FallbackConfig:
    """What hides the face, and from when on it counts."""

    enabled: bool = True  # look for what hides the face; a lost face is always left alone
    hands: bool = True  # hands over what would be painted
    hand_share: float = 0.005  # ... from this share of it on
    covered: bool = True  # anything else before the lower face
    covered_share: float = 0.05  # ... from this share of it on, in one place
    standing: bool = True  # what stands before the face all the while stays as it was filmed ...
    mouth_share: float = 0.5  # ... and all of the mouth does where it hides this share of the lips
    turned: bool = True  # a head turned or tilted further than the actor was seen in training
    turn_margin_deg: float = 15.0  # ... by more than this
    seen_share: float = 0.6  # least of the lower face that is turned to the camera, to the usual
    blur: bool = True  # a moving or unfocused face
    sharpness: float = 0.6  # ... less sharp than this, to the usual of the clip
    exposure: bool = True  # a flash, a fade to black or from it
    brightness: float = 0.75  # ... less light than this, to the seconds around, or as much more
    guard_s: float = 0.08  # around hands, coverings and flashes: they are seen a little late
    merge_s: float = 0.4  # two of these with less between them are one

    def __post_init__(self) -> None:
        shares = ("hand_share", "covered_share", "mouth_share", "seen_share")
        for name in (*shares, "sharpness", "brightness"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(
                    f"drive.fallback.{name} is {getattr(self, name)}",
                    "give a share, more than 0 and less than 1",
                )
        if not 0 <= self.turn_margin_deg <= 90:
            raise ConfigError(
                f"drive.fallback.turn_margin_deg is {self.turn_margin_deg}", "give degrees, 0 to 90"
            )
        for name in ("guard_s", "merge_s"):
            if not 0 <= getattr(self, name) <= 5:
                raise ConfigError(
                    f"drive.fallback.{name} is {getattr(self, name)}", "give seconds, 0 to 5"
                )
