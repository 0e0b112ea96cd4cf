"""metatalk learns one actor from a clip and makes that actor say anything."""

__version__ = "0.1.0"
