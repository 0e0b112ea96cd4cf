"""Toys for the lip-sync trainings: tracks that can be read, networks that are quick, a course."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from metatalk.lipsync.blocks import conv
from metatalk.lipsync.learning.config import ExpertConfig, JitterConfig
from metatalk.lipsync.learning.loop import Course, Figures, Journal, State
from metatalk.lipsync.syncnet import ColourExpert
from metatalk.lipsync.tracks import STORED_PX, Track
from metatalk.lipsync.wav2lip import FACE_PX, QualityDiscriminator, Wav2Lip
from metatalk.shapes import check_shape
from metatalk.stages.lipsync_corpus import TRACKS, Source, write_index

STILL = JitterConfig(
    shift_px=0, zoom=0, mirror=False, contrast=0, brightness=0, loudness=0, equaliser=0
)


def numbered_track(
    frames: int,
    name: str = "t0",
    source: str = "clip",
    split: str | None = None,
    mark: int = 0,
    columns: int | None = None,
) -> Track:
    """Pixels that tell the frame (red, green) and the track (blue); mels that tell the column."""
    number = np.arange(frames)
    faces = np.zeros((frames, STORED_PX, STORED_PX, 3), np.uint8)
    faces[..., 0] = (number % 256)[:, None, None]
    faces[..., 1] = (number // 256)[:, None, None]
    faces[..., 2] = mark
    if columns is None:
        columns = 1 + frames * 16 // 5 + 16
    mel = np.broadcast_to(np.arange(columns, dtype=np.float32) / 1000, (80, columns))
    return Track(name, source, split, faces, np.ascontiguousarray(mel), name)


def read_frames(faces: Tensor | np.ndarray) -> np.ndarray:
    """(..., 96, 96, 3) faces of a numbered track, plainly cut, as (...) frame numbers."""
    values = np.asarray(faces).astype(int)
    assert (values == values[..., :1, :1, :]).all()
    return np.asarray(values[..., 0, 0, 0] + 256 * values[..., 0, 0, 1])


def read_columns(mels: Tensor | np.ndarray) -> np.ndarray:
    """(..., 80, 16) mels of a numbered track as (..., 16) column numbers."""
    values = np.asarray(mels) * 1000
    assert (values == values[..., :1, :]).all()
    return np.asarray(values[..., 0, :].round().astype(int))


def talking_track(frames: int, seed: int = 0, late: int = 0, name: str = "") -> Track:
    """Mouths as bright as the sound is loud; the sound may come `late` frames late."""
    dice = np.random.default_rng(seed)
    columns = 1 + frames * 16 // 5 + 16
    moments = np.arange(columns) / 3.2  # in frames
    knots = np.arange(0, frames + 40, 2)
    loud = np.interp(np.arange(0, frames + 40, 0.1), knots, dice.uniform(-1, 1, len(knots)))
    at = lambda when: loud[np.clip((when * 10).astype(int), 0, len(loud) - 1)]  # noqa: E731
    faces = np.full((frames, STORED_PX, STORED_PX, 3), 90, np.uint8)
    mouth = 128 + 100 * at(np.arange(frames, dtype=float))
    faces[:, STORED_PX // 2 :] = mouth[:, None, None, None].astype(np.uint8)
    mel = np.repeat(2 * at(moments - late)[None], 80, 0).astype(np.float32)
    label = name or f"talk{seed}"
    return Track(label, label, None, faces, mel, label)


def make_quick(patch: pytest.MonkeyPatch) -> None:
    """Let the networks use a layer or two of theirs; their keys and shapes stay the official."""
    patch.setattr(ColourExpert, "embed_lips", _quick_lips)
    patch.setattr(ColourExpert, "embed_sound", _quick_sound)
    patch.setattr(Wav2Lip, "forward", _quick_drawing)
    patch.setattr(QualityDiscriminator, "forward", _quick_verdict)


def _filled(values: Tensor) -> Tensor:
    """(B, K) as (B, 512, 1, 1)."""
    return functional.pad(values, (0, 512 - values.shape[1]))[..., None, None]


def _quick_lips(self: ColourExpert, faces: Tensor) -> Tensor:
    check_shape("faces", faces, "B 15 48 96")
    hidden = _filled(4 * faces.mean((2, 3)) - 2)
    return functional.normalize(self.face_encoder[-1](hidden).flatten(1))


def _quick_sound(self: ColourExpert, mel: Tensor) -> Tensor:
    check_shape("mel", mel, "B 1 80 16")
    return functional.normalize(self.audio_encoder[-1](_filled(mel.mean((1, 2)))).flatten(1))


def _quick_drawing(self: Wav2Lip, mel: Tensor, faces: Tensor) -> Tensor:
    check_shape("faces", faces, "B 6 96 96", B=len(mel))
    heard = self.audio_encoder[-1](_filled(mel.mean((1, 2))))[:, :64]  # (B, 64, 1, 1)
    seen = self.face_encoder_blocks[0](functional.avg_pool2d(faces, 8))  # (B, 16, 12, 12)
    drawn = self.output_block(torch.cat([seen, heard.expand(-1, -1, 12, 12)], 1))
    return functional.interpolate(drawn, (FACE_PX, FACE_PX))


def _quick_verdict(self: QualityDiscriminator, faces: Tensor) -> Tensor:
    lower = functional.avg_pool2d(faces[:, :, FACE_PX // 2 :], 8)
    seen = self.face_encoder_blocks[0](lower).mean((2, 3), keepdim=True)  # (B, 32, 1, 1)
    return self.binary_pred(seen.repeat(1, 16, 1, 1)).flatten(1)


class SmallExpert(nn.Module):
    """An expert of one layer a side, which takes and gives what the whole one does."""

    def __init__(self) -> None:
        super().__init__()
        self.face_encoder, self.audio_encoder = conv(15, 64, 1), conv(16, 64, 1)

    def forward(self, mel: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
        check_shape("faces", faces, "B 15 48 96", B=len(mel))
        check_shape("mel", mel, "B 1 80 16")
        lips = self.face_encoder(4 * faces.mean((2, 3))[..., None, None] - 2).flatten(1)
        sound = self.audio_encoder(mel.mean((1, 2))[..., None, None]).flatten(1)
        return functional.normalize(sound), functional.normalize(lips)


class SmallGenerator(nn.Module):
    """A generator of three layers, which takes and gives what the whole one does."""

    def __init__(self) -> None:
        super().__init__()
        self.face_encoder, self.audio_encoder = conv(6, 16, 3, 1, 1), conv(16, 16, 1)
        self.output_block = nn.Sequential(conv(32, 16, 1), nn.Conv2d(16, 3, 1), nn.Sigmoid())

    def forward(self, mel: Tensor, faces: Tensor) -> Tensor:
        check_shape("faces", faces, "B 6 96 96", B=len(mel))
        check_shape("mel", mel, "B 1 80 16")
        heard = self.audio_encoder(mel.mean((1, 2))[..., None, None])
        seen = self.face_encoder(functional.avg_pool2d(faces, 8))
        drawn = self.output_block(torch.cat([seen, heard.expand(-1, -1, 12, 12)], 1))
        return functional.interpolate(drawn, (FACE_PX, FACE_PX))


class SmallCritic(nn.Module):
    """A discriminator of one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.binary_pred = nn.Linear(3, 1)

    def forward(self, faces: Tensor) -> Tensor:
        check_shape("faces", faces, f"B 3 {FACE_PX} {FACE_PX}")
        return self.binary_pred(faces[:, :, FACE_PX // 2 :].mean((2, 3))).sigmoid()


def make_small(patch: pytest.MonkeyPatch) -> None:
    """Let the courses build small networks."""
    patch.setattr("metatalk.lipsync.learning.expert.ColourExpert", SmallExpert)
    patch.setattr("metatalk.lipsync.learning.generator.Wav2Lip", SmallGenerator)
    patch.setattr("metatalk.lipsync.learning.generator.QualityDiscriminator", SmallCritic)


@dataclass
class Diary:
    """A journal that remembers everything, its states as a file would."""

    told: list[tuple[int, int | None, str]] = field(default_factory=list)
    figures: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    sheets: list[int] = field(default_factory=list)
    saved_steps: list[int] = field(default_factory=list)
    kept: bytes | None = None
    closed: int = 0

    def journal(self) -> Journal:
        return Journal(
            lambda *words: self.told.append(words),
            self.save,
            self.load,
            lambda step, figures: self.figures.append((step, dict(figures))),
            lambda step, sheet: self.sheets.append(step),
            self.close,
        )

    def save(self, state: State) -> None:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        self.kept = buffer.getvalue()
        self.saved_steps.append(state.get("step", -1))

    def load(self) -> State | None:
        if self.kept is None:
            return None
        loaded: State = torch.load(io.BytesIO(self.kept), weights_only=True)
        return loaded

    def close(self) -> None:
        self.closed += 1


class KilledError(Exception):
    """As if the process had been killed."""


class LineCourse(Course):
    """Learns a line with noise from PyTorch's own generator, and dies at a step if told to."""

    section = "expert"

    def __init__(self, config: ExpertConfig, die_at: int | None = None) -> None:
        self.config = config
        self.die_at = die_at
        self.checked: list[int] = []
        self.shares: list[float] = []
        self.drawn: list[int] = []

    def begin(self, fabric: Any) -> None:
        self.fabric = fabric
        module = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
        optimiser = torch.optim.Adam(module.parameters(), self.config.learning_rate)
        self.bare = module
        self.module, self.optimiser = fabric.setup(module, optimiser)

    def batches(self, steps: range) -> Iterator[Tensor]:
        for step in steps:
            self.drawn.append(step)
            dice = np.random.default_rng([self.fabric.global_rank, step])
            yield torch.from_numpy(dice.normal(size=(8, 2)).astype(np.float32))

    def learn(self, batch: Tensor, share: float) -> Figures:
        if self.drawn[-1] == self.die_at:
            raise KilledError
        self.shares.append(share)
        noisy = batch + 0.1 * torch.randn_like(batch)
        loss = (self.module(noisy) - batch.sum(1, keepdim=True)).square().mean()
        self.optimiser.zero_grad()
        self.fabric.backward(loss)
        self.optimiser.step()
        return {"line": float(loss.detach())}

    def check(self) -> Figures:
        self.checked.append(self.drawn[-1] + 1)
        torch.rand(3)  # a check may use the generator as it likes
        return {"bias": float(self.bare[0].bias[0].detach())}

    def state(self) -> State:
        return {"module": self.module.state_dict(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: State) -> None:
        self.module.load_state_dict(state["module"])
        self.optimiser.load_state_dict(state["optimiser"])

    def result(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.bare.state_dict().items()}

    def sheet(self) -> np.ndarray:
        return np.zeros((4, 4, 3), np.uint8)


def save_always(patch: pytest.MonkeyPatch) -> None:
    """Let the loop keep its state after every step."""
    patch.setattr("metatalk.lipsync.learning.loop._LEAST_SAVING_S", 0.0)
    patch.setattr("metatalk.lipsync.learning.loop.SAVING_SHARE", float("inf"))


def same(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> bool:
    """Whether two sets of weights are equal bit for bit."""
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def copied(state: Mapping[str, Tensor], names: Sequence[str] = ()) -> dict[str, Tensor]:
    """A copy of weights, of those alone that begin with one of the names where some are given."""
    chosen = tuple(names) or ("",)
    return {k: v.detach().clone() for k, v in state.items() if k.startswith(chosen)}


def write_corpus(folder: Path, terms: Mapping[str, str], frames: int = 80) -> Path:
    """A prepared corpus of one toy track a clip."""
    sources = {}
    for seed, (name, said) in enumerate(terms.items()):
        track = talking_track(frames, seed)
        place = folder / TRACKS / f"{seed:012x}_00"
        place.mkdir(parents=True)
        np.save(place / "faces.npy", track.faces)
        np.save(place / "mel.npy", track.mel)
        (place / "track.json").write_text("{}")
        digest = f"{seed:064x}"
        sources[digest] = Source(name, digest, terms=said, tracks=(place.name,), frames=frames)
    write_index(folder, {"rate": 25, "px": 128, "inner_px": 96}, sources)
    return folder
