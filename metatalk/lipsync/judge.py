"""The judge of lip sync: SyncNet v2 or a colour expert, which of them, and whose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from metatalk.errors import ConfigError, MediaError, MissingAssetError, ShapeError
from metatalk.lipsync.checkpoints import KINDS, CheckpointRecord, load_network
from metatalk.lipsync.learning.tensors import lower_halves
from metatalk.lipsync.mel import CHUNK_COLUMNS, chunk_starts, wav2lip_mel
from metatalk.lipsync.mfcc import syncnet_mfcc
from metatalk.lipsync.sync_figures import (
    SyncFigures,
    count_windows,
    distance_rows,
    figures_of_rows,
    sync_figures,
)
from metatalk.lipsync.sync_runs import is_silent
from metatalk.lipsync.syncnet import (
    MFCC_COLUMNS,
    MFCC_PER_FRAME,
    WINDOW_FRAMES,
    ColourExpert,
    SyncNet,
)
from metatalk.lipsync.syncnet_crop import SYNCNET_PX
from metatalk.lipsync.tracks import RATE
from metatalk.lipsync.wav2lip import FACE_PX
from metatalk.shapes import check_shape

__all__ = ["Judge", "SyncFigures", "open_judge", "sync_figures"]

_REMEDY = (
    "give --judge FILE or sync.judge=FILE: the official syncnet_v2.model or lipsync_expert.pth, or "
    "an expert trained on footage of yours (tools/prepare_lipsync.py, then tools/train_syncnet.py)"
)


@dataclass(frozen=True, eq=False)
class Judge:
    """A network that says how well lips and sound fit, ready to work."""

    kind: Literal["syncnet", "expert"]
    network: SyncNet | ColourExpert  # in evaluation mode, on the device where it shall work
    record: CheckpointRecord
    ours: bool  # trained here, not the public weights
    dtype: torch.dtype = torch.float32  # a narrower one switches autocast on
    batch: int = 16  # windows a network call

    @property
    def crop_px(self) -> int:
        """Side of the faces that it looks at, pixels."""
        return SYNCNET_PX if self.kind == "syncnet" else FACE_PX

    @property
    def star(self) -> str:
        """What tells its figures from those of the field: nothing for SyncNet v2, else `*`."""
        return "" if self.kind == "syncnet" and not self.ours else "*"

    @property
    def distance_name(self) -> str:
        """What its distance is called."""
        return f"LSE-D{self.star}"

    @property
    def confidence_name(self) -> str:
        """What its confidence is called."""
        return f"LSE-C{self.star}"

    def embed_lips(self, faces: Iterable[np.ndarray]) -> Tensor:
        """Embed every window of five faces.

        Args:
            faces: T faces at 25 a second, each (px, px, 3) uint8 RGB: an array or a stream, of
                which a batch is held at a time.

        Returns:
            (T - 4, N) float32, on the processor's memory.

        Raises:
            ShapeError: a face has another size.
        """
        found = [self._embed_faces(block) for block in _overlapping(faces, self.batch)]
        return torch.cat(found) if found else torch.zeros(0, self._width)

    def embed_sound(self, samples: np.ndarray, windows: int) -> Tensor:
        """Embed the sound of the windows that begin at frames 0, 1, ... at 25 a second.

        Args:
            samples: (S,) sound at 16 kHz, the first at the time of frame 0.
            windows: how many, at most `count_windows(T, S)`.

        Returns:
            (windows, N) float32, on the processor's memory.

        Raises:
            ShapeError: the sound is too short for so many.
        """
        heard = self._hear(samples, windows)
        found = [
            self._run(self.network.embed_sound, torch.from_numpy(np.stack(chunks))[:, None])
            for chunks in _batches(heard, self.batch)
        ]
        return torch.cat(found) if found else torch.zeros(0, self._width)

    def compare(self, lips: Tensor, sound: Tensor) -> Tensor:
        """Measure lips against sound at every shift.

        Args:
            lips: (T, N) embeddings.
            sound: (T, N) embeddings.

        Returns:
            (T, 31) distances, as `distance_rows` gives them.

        Departs: an expert's windows have no partner beyond the ends of the sound. Its embeddings
            have length one, and a zero vector is nearer to each of them than any that does not
            belong to it: padded, short clips would have their best shift at the farthest one.
        """
        return distance_rows(lips, sound, padded=self.kind == "syncnet")

    def rows(self, faces: Iterable[np.ndarray], samples: np.ndarray) -> Tensor:
        """Measure lips against sound at every shift.

        Args:
            faces: as `embed_lips` takes them.
            samples: (S,) sound at 16 kHz, the first at the time of the first face.

        Returns:
            (T, 31) distances, as `distance_rows` gives them.

        Raises:
            ShapeError: a face or the sound has another shape.
        """
        lips = self.embed_lips(faces)
        windows = count_windows(len(lips) + WINDOW_FRAMES - 1, len(samples))
        return self.compare(lips[:windows], self.embed_sound(samples, windows))

    def judge(self, faces: Iterable[np.ndarray], samples: np.ndarray) -> SyncFigures:
        """Judge faces and the sound that goes with them.

        Args:
            faces: as `embed_lips` takes them.
            samples: (S,) sound at 16 kHz, the first at the time of the first face.

        Returns:
            The figures; a judge with a star gives figures with a star.

        Raises:
            ShapeError: a face or the sound has another shape.
            MediaError: under two seconds, or silence.
        """
        if is_silent(samples):
            raise MediaError(
                "the sound is silent: sync cannot be judged", "give a recording of speech"
            )
        return figures_of_rows([self.rows(faces, samples)])

    @property
    def _width(self) -> int:
        return 1024 if self.kind == "syncnet" else 512

    def _hear(self, samples: np.ndarray, windows: int) -> Iterator[np.ndarray]:
        """What the network hears of each window."""
        if self.kind == "syncnet":
            columns, size = syncnet_mfcc(samples), MFCC_COLUMNS
            starts = MFCC_PER_FRAME * np.arange(windows)
        else:
            columns, size = wav2lip_mel(samples), CHUNK_COLUMNS
            starts = chunk_starts(windows, RATE, 1 << 62)
        if windows and starts[-1] + size > columns.shape[1]:
            raise ShapeError(
                f"{len(samples)} samples are not the sound of {windows} windows",
                f"give {windows + WINDOW_FRAMES} frames' worth, {RATE} frames a second",
            )
        return (columns[:, start : start + size] for start in starts.tolist())

    def _embed_faces(self, faces: np.ndarray) -> Tensor:
        check_shape("faces", faces, f"T {self.crop_px} {self.crop_px} 3")
        windows = torch.from_numpy(faces).unfold(0, WINDOW_FRAMES, 1)  # (T - 4, H, W, 3, 5)
        windows = windows.movedim(-1, 1)  # (T - 4, 5, H, W, 3)
        if self.kind == "expert":
            return self._run(self.network.embed_lips, lower_halves(windows))
        pixels = windows.flip(-1).permute(0, 4, 1, 2, 3)  # (T - 4, 3, 5, H, W) BGR
        return self._run(self.network.embed_lips, pixels.float())

    def _run(self, network: Callable[[Tensor], Tensor], windows: Tensor) -> Tensor:
        device = next(self.network.parameters()).device
        narrow = self.dtype != torch.float32
        with torch.inference_mode(), torch.autocast(device.type, self.dtype, enabled=narrow):
            return network(windows.to(device)).float().cpu()


def open_judge(
    path: Path | None,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    batch: int = 16,
) -> Judge:
    """Open a judge and find out which of the networks the file holds.

    Args:
        path: weights of SyncNet v2 or of a lip-sync expert; None: there are none.
        device: where to work; None: the processor.
        dtype: of the arithmetic; float32 gives the field's figures exactly.
        batch: windows a network call.

    Returns:
        The judge.

    Raises:
        MissingAssetError: there is no such file, or it holds no weights.
        ConfigError: it holds the weights of something else.
    """
    if path is None or not path.is_file():
        what = "no judge of lip sync is set" if path is None else f"there is no judge at {path}"
        raise MissingAssetError(what, _REMEDY)
    network, record = _load(path)
    return Judge(
        kind="syncnet" if isinstance(network, SyncNet) else "expert",
        network=network.to(device or torch.device("cpu")),
        record=record,
        ours=record.terms != KINDS[type(network)].terms,
        dtype=dtype,
        batch=batch,
    )


def _load(path: Path) -> tuple[SyncNet | ColourExpert, CheckpointRecord]:
    """Try one network after the other: which of them a file holds only its keys say."""
    try:
        return load_network(SyncNet, path)
    except ConfigError as first:
        try:
            return load_network(ColourExpert, path)
        except ConfigError as second:
            raise ConfigError(f"{first.problem}; {second.problem}", _REMEDY) from second


def _overlapping(faces: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Blocks of at most `size` windows; neighbours share the frames that a window needs."""
    kept: list[np.ndarray] = []
    for face in faces:
        kept.append(face)
        if len(kept) == size + WINDOW_FRAMES - 1:
            yield np.stack(kept)
            kept = kept[size:]
    if len(kept) >= WINDOW_FRAMES:
        yield np.stack(kept)


def _batches(values: Iterator[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    while batch := list(islice(values, size)):
        yield batch
