"""Train the lip-sync expert: lips and sound of one moment close, of two moments apart.

Wav2Lip's expert learns from single pairs, half of them shifted, by the cross-entropy of their
cosine. With minutes in place of tens of hours it stays at chance for long that way; here every
window of a batch is also told apart from the sound of all others, most of which are shifted by
a few frames in the same track.

Source: Prajwal et al. 2020 (cosine and cross-entropy); van den Oord et al. 2018 (InfoNCE).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from metatalk.lipsync.learning.config import ExpertConfig
from metatalk.lipsync.learning.jitter import plain_faces
from metatalk.lipsync.learning.loop import Course, Figures, State
from metatalk.lipsync.learning.tensors import lower_halves
from metatalk.lipsync.learning.windows import Draw, ExpertBatch, Span, batches, split_spans
from metatalk.lipsync.syncnet import WINDOW_FRAMES, ColourExpert
from metatalk.lipsync.tracks import Track

_FIRST_SCALE, _MOST_SCALE = 10.0, 50.0  # of the cosine, in the batch's softmax
_WARM_UP_STEPS = 50
_LAST_RATE = 0.05  # of the learning rate
_MOST_SHIFT = 15  # frames either way that are tried
_EPS = 1e-4  # cosines this near 0 and 1 are as good as there
_CHECK_BATCH = 64
_MOST_CHECKED = 2000  # windows, evenly over the held-out spans


class ExpertCourse(Course):
    """The colour expert on a prepared corpus.

    Args:
        tracks: of the corpus.
        config: see there.
        seed: of the windows.
        start: weights to go on from; None: random ones.

    Raises:
        FittingError: too little to divide into learned and held out.
    """

    section = "expert"

    def __init__(
        self,
        tracks: Sequence[Track],
        config: ExpertConfig,
        seed: int,
        start: dict[str, Tensor] | None = None,
    ) -> None:
        self.config: ExpertConfig = config
        self.learned, self.held = split_spans(tracks, config.held_out)
        self.seed, self.start = seed, start

    def begin(self, fabric: Any) -> None:
        """Build the expert, its softmax's scale and the optimiser."""
        module = _Scaled(ColourExpert(), self.config)
        if self.start:
            module.expert.load_state_dict(self.start)
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.Adam(module.parameters(), self.config.learning_rate)
        self.fabric = fabric
        self.expert = module.expert
        self.module, self.optimiser = fabric.setup(module, optimiser)

    def batches(self, steps: range) -> Iterator[ExpertBatch]:
        """Windows in sync, in groups of one track."""
        config, fabric = self.config, self.fabric
        draw = Draw(
            *(self.learned, config.batch // fabric.world_size, config.group, config.least_shift),
            *(config.jitter, config.evenness),
        )
        pinned = fabric.device.type == "cuda"
        return batches(
            draw.expert_batch, steps, self.seed, fabric.global_rank, config.workers, pinned
        )

    def learn(self, batch: ExpertBatch, share: float) -> Figures:
        """One step of Adam."""
        rate = _LAST_RATE + (1 - _LAST_RATE) * (1 + math.cos(math.pi * share)) / 2
        warm = min(1.0, (share * self.config.steps + 1) / _WARM_UP_STEPS)
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate * rate * warm
        self.module.train()
        windows = batch.to(self.fabric.device)
        # Not the batch itself: Fabric looks into what it hands on, and may not change it.
        contrast, cosine = self.module(*vars(windows).values())
        loss = self.config.contrast_weight * contrast + self.config.cosine_weight * cosine
        self.optimiser.zero_grad()
        self.fabric.backward(loss)
        self.optimiser.step()
        return {"contrast": float(contrast.detach()), "cosine": float(cosine.detach())}

    def check(self) -> Figures:
        """Accuracy on held-out windows, see `examine_expert`."""
        return examine_expert(self.expert, self.held, self.fabric)

    def state(self) -> State:
        """Weights and the optimiser."""
        return {"module": self.module.state_dict(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: State) -> None:
        """Go on from `state`."""
        self.module.load_state_dict(state["module"])
        self.optimiser.load_state_dict(state["optimiser"])

    def result(self) -> dict[str, Tensor]:
        """The expert's weights by their official keys."""
        return {
            name: value.detach().float().cpu().contiguous()
            if value.is_floating_point()
            else value.cpu()
            for name, value in self.expert.state_dict().items()
        }


class _Scaled(nn.Module):
    """The expert with its losses behind `forward`: only there gradients are exchanged."""

    def __init__(self, expert: ColourExpert, config: ExpertConfig) -> None:
        super().__init__()
        self.expert, self.least_shift = expert, config.least_shift
        self.log_scale = nn.Parameter(torch.tensor(math.log(_FIRST_SCALE)))

    def forward(
        self, faces: Tensor, mels: Tensor, track: Tensor, frame: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The contrastive loss and the cosine's cross-entropy of an `ExpertBatch`."""
        sound, lips = self.expert(mels[:, None], lower_halves(faces))
        same = track[:, None] == track[None]
        near = same & ((frame[:, None] - frame[None]).abs() < self.least_shift)
        scale = self.log_scale.exp().clamp(max=_MOST_SCALE)
        cosines = lips.float() @ sound.float().T  # (B, B)
        return contrast_loss(cosines * scale, near), cosine_loss(cosines, same & ~near)


def contrast_loss(scores: Tensor, near: Tensor) -> Tensor:
    """Cross-entropy of finding each window's own sound, and each sound's own window.

    Args:
        scores: (B, B) of window i with sound j.
        near: (B, B) bool, pairs of nearly the same moment: neither right nor wrong.

    Returns:
        The mean loss, a scalar.
    """
    own = torch.arange(len(scores), device=scores.device)
    unclear = near & ~torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    scores = scores.masked_fill(unclear, -torch.inf)
    return (functional.cross_entropy(scores, own) + functional.cross_entropy(scores.T, own)) / 2


def cosine_loss(cosines: Tensor, shifted: Tensor) -> Tensor:
    """Wav2Lip's loss: the cross-entropy of the cosine, half in sync and half shifted.

    Args:
        cosines: (B, B) of window i with sound j.
        shifted: (B, B) bool, pairs of one track at different times.

    Returns:
        The mean loss, a scalar.
    """
    likely = cosines.clamp(_EPS, 1 - _EPS)
    right = -likely.diagonal().log().mean()
    if not shifted.any():
        return right
    return (right - torch.log1p(-likely[shifted]).mean()) / 2


@torch.no_grad()
def examine_expert(expert: ColourExpert, held: Sequence[Span], fabric: Any = None) -> Figures:
    """Measure how well an expert tells sync from shift on footage that it has not seen.

    Args:
        expert: on its device; left in evaluation mode.
        held: spans.
        fabric: whose precision to compute in; None: as the expert is.

    Returns:
        `accuracy`: the share of windows whose own sound is nearer than sound shifted by at least
        5 frames within the span (chance .5); `cosine_accuracy`: mean share of own and of shifted
        sound on the right side of cosine .5; `loss`: the cosine's cross-entropy; `offset_found`:
        share of spans, of a second and more, whose best shift within 15 frames is 0 or 1 away;
        left out where there are none.
    """
    expert.eval()
    rows = [(span, *embed_span(expert, span, fabric)) for span in _thinned(held)]
    figures: dict[str, list[float]] = {name: [] for name in ("accuracy", "right", "wrong", "loss")}
    found = []
    for _, lips, sound in rows:
        cosines = lips @ sound.T
        at = torch.arange(len(cosines))
        shifted = (at[:, None] - at[None]).abs() >= WINDOW_FRAMES
        if not shifted.any():
            continue
        own = cosines.diagonal()
        figures["accuracy"].append(float((own[:, None] > cosines)[shifted].float().mean()))
        figures["right"].append(float((own > 0.5).float().mean()))
        figures["wrong"].append(float((cosines[shifted] <= 0.5).float().mean()))
        figures["loss"].append(float(cosine_loss(cosines, shifted)))
        if len(cosines) >= 25:
            found.append(float(abs(_best_shift(cosines)) <= 1))
    mean = {name: float(np.mean(values)) for name, values in figures.items()}
    return {
        "accuracy": mean["accuracy"],
        "cosine_accuracy": (mean["right"] + mean["wrong"]) / 2,
        "loss": mean["loss"],
        **({"offset_found": float(np.mean(found))} if found else {}),
    }


@torch.no_grad()
def embed_span(expert: ColourExpert, span: Span, fabric: Any = None) -> tuple[Tensor, Tensor]:
    """Embed every window of a span and its sound.

    Args:
        expert: in evaluation mode.
        span: of a track.
        fabric: whose precision to compute in; None: as the expert is.

    Returns:
        Lips and sound, (N, 512) float32 on the CPU.
    """
    device = next(expert.parameters()).device
    precision = fabric.autocast if fabric else torch.no_grad
    lips, sound = [], []
    for first in range(span.first, span.first + span.windows, _CHECK_BATCH):
        starts = np.arange(first, min(first + _CHECK_BATCH, span.first + span.windows))
        frames = np.asarray(span.track.faces[starts[0] : starts[-1] + WINDOW_FRAMES])
        faces = plain_faces(frames)[np.arange(len(starts))[:, None] + np.arange(WINDOW_FRAMES)]
        mels = torch.from_numpy(span.mels(starts))[:, None].to(device)
        with precision():
            heard, seen = expert(mels, lower_halves(torch.from_numpy(faces).to(device)))
        lips.append(seen.float().cpu())
        sound.append(heard.float().cpu())
    return torch.cat(lips), torch.cat(sound)


def _best_shift(cosines: Tensor) -> int:
    means = [
        float(cosines.diagonal(shift).mean()) if abs(shift) < len(cosines) - 5 else -math.inf
        for shift in range(-_MOST_SHIFT, _MOST_SHIFT + 1)
    ]
    return int(np.argmax(means)) - _MOST_SHIFT


def _thinned(held: Sequence[Span]) -> Sequence[Span]:
    """As many spans as there is time to look at."""
    windows = sum(span.windows for span in held)
    return held[:: max(1, -(-windows // _MOST_CHECKED))]
