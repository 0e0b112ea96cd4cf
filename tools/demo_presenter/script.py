"""What the presenter says, and what the other voice says. The sentences are ours."""

from __future__ import annotations

from demo_presenter.speech import Voice

PRESENTER_VOICE = Voice("en-us", words_per_minute=152, pitch=38, pitch_range=62)
PRESENTER_TEXT = """
Hello, and welcome. My name is Pebble, and nobody has ever met me, because a program made me up.
Every vowel I move through, from open father to narrow moon, becomes a shape for you to measure.
Now imagine a film about the harbour, with seven boats waiting above the foam.
Bob may polish the brass pump; Victor will fetch five warm blankets.
"""

DRIVING_VOICE = Voice("en-us+m7", words_per_minute=165, pitch=55, pitch_range=55)
DRIVING_TEXT = """
Good morning. A brave little fox jumped over my wooden fence, picked up a blue
umbrella, and walked off humming.
"""
