"""`metatalk face-model`: which face models there are."""
