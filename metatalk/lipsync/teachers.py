"""Who shows the actor speaking: what every teacher is given and gives back, and Wav2Lip as one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np

from metatalk.lipsync.faces import crop_face, paste_face
from metatalk.lipsync.mel import chunk_starts, mel_chunks, wav2lip_mel
from metatalk.lipsync.wav2lip import Redrawer
from metatalk.shapes import check_shape


@dataclass(frozen=True, eq=False)
class Scene:
    """One sentence before it is spoken: footage of the actor, and the sound."""

    pictures: np.ndarray  # (N, H, W, 3) uint8 RGB of one stretch; may be memory-mapped
    boxes: np.ndarray  # (N, 4) of the face: left, top, right, bottom, pixels
    references: np.ndarray  # (N,) int64, number of the picture that shows each one's person
    order: np.ndarray  # (T,) int64, number of the picture behind every frame of the sentence
    rate: Fraction  # frames a second
    samples: np.ndarray  # (S,) at 16 kHz

    def __post_init__(self) -> None:
        count = check_shape("pictures", self.pictures, "N H W 3")["N"]
        check_shape("boxes", self.boxes, "N 4", N=count)
        check_shape("references", self.references, "N", N=count)
        check_shape("order", self.order, "T")
        check_shape("samples", self.samples, "S")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures."""
        return self.pictures.shape[2], self.pictures.shape[1]


class Teacher(Protocol):
    """Shows a scene's actor saying the scene's sound."""

    def show(self, scene: Scene) -> Iterator[np.ndarray]:
        """Show the actor speaking.

        Args:
            scene: footage and sound.

        Yields:
            (H, W, 3) uint8 RGB of the scene's size, one for each entry of its order.

        Raises:
            MediaError: the teacher fails at this sentence.
        """


@dataclass(frozen=True, eq=False)
class Wav2LipTeacher:
    """Redraws the lower half of the face; memory holds a batch of pictures."""

    redrawer: Redrawer

    def show(self, scene: Scene) -> Iterator[np.ndarray]:
        """Show the actor speaking; see `Teacher.show`.

        Of the face that is redrawn only the upper half reaches the network, and the box it is
        cut by hangs on eyes and nose: the mouth of the footage cannot be read off it.
        """
        mel = wav2lip_mel(scene.samples)
        chunks = mel_chunks(mel, chunk_starts(len(scene.order), scene.rate, mel.shape[1]))
        for first in range(0, len(scene.order), self.redrawer.batch):
            places = scene.order[first : first + self.redrawer.batch]
            targets = np.stack([_face(scene, at) for at in places])
            references = np.stack([_face(scene, scene.references[at]) for at in places])
            drawn = self.redrawer.redraw(targets, references, chunks[first : first + len(places)])
            for face, at in zip(drawn, places, strict=True):
                yield paste_face(scene.pictures[at], face, scene.boxes[at])


def _face(scene: Scene, place: int) -> np.ndarray:
    return crop_face(scene.pictures[place], scene.boxes[place])
