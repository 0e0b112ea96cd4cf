"""Randomised synthetic clips of people whom nobody has met, with the truth about every frame."""
