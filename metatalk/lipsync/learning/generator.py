"""Train Wav2Lip's generator: redraw filmed mouths from their sound, judged by a fixed expert.

The expert's say is 0 until its loss on generated held-out frames falls below a threshold, and a
small share of the loss from then on; a discriminator of picture quality may join.

Source: Prajwal et al. 2020, and the released training's weights: sync 0.03 from an expert's loss
of 0.75 on, quality 0.07, the rest L1.
Departs: a pixel of the lower half counts `mouth_weight` times one of the upper half, which the
    generator is shown; the moving average of the weights is kept; each frame's sound begins at
    the frame, as when the generator is used.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metatalk.lipsync.learning.config import TeacherConfig
from metatalk.lipsync.learning.loop import Course, Figures, State
from metatalk.lipsync.learning.tensors import stack_windows, to_bgr
from metatalk.lipsync.learning.windows import Draw, TeacherBatch, batches, split_spans
from metatalk.lipsync.syncnet import WINDOW_FRAMES, ColourExpert
from metatalk.lipsync.tracks import Track
from metatalk.lipsync.wav2lip import FACE_PX, QualityDiscriminator, Wav2Lip

_EPS = 1e-4  # probabilities this near 0 and 1 are as good as there
log = logging.getLogger(__name__)

_CHECK_BATCHES, _CHECK_WINDOWS = 8, 8
_NORM_BATCHES = 8  # of as many windows
_CHECK_SEED = 29
_TELLING = 0.05  # between the expert's losses on right and wrong sound, so that it has a say
_SHEET_WINDOWS = 6
_BETAS = (0.5, 0.999)  # of the adversaries


class TeacherCourse(Course):
    """The generator on a prepared corpus.

    Args:
        tracks: of the corpus.
        expert: trained; not changed.
        config: see there.
        seed: of the windows.
        start: the generator's weights to go on from; None: random ones.
        critic_start: the discriminator's; None: random ones.

    Raises:
        FittingError: too little to divide into learned and held out.
    """

    section = "teacher"

    def __init__(
        self,
        tracks: Sequence[Track],
        expert: ColourExpert,
        config: TeacherConfig,
        seed: int,
        start: dict[str, Tensor] | None = None,
        critic_start: dict[str, Tensor] | None = None,
    ) -> None:
        self.config: TeacherConfig = config
        self.learned, self.held = split_spans(tracks, config.held_out)
        self.expert = expert.eval().requires_grad_(False)
        self.seed, self.start, self.critic_start = seed, start, critic_start
        self.sync_weight = 0.0

    def begin(self, fabric: Any) -> None:
        """Build generator, discriminator and their optimisers."""
        config, self.fabric = self.config, fabric
        generator, critic = Wav2Lip(), QualityDiscriminator()
        if self.start:
            generator.load_state_dict(self.start)
        if self.critic_start:
            critic.load_state_dict(self.critic_start)
        self.expert.to(fabric.device)
        self.average = copy.deepcopy(generator).eval().requires_grad_(False).to(fabric.device)
        self.bare = generator
        self.generator, self.optimiser = _set_up(fabric, generator, config.learning_rate)
        self.critic, self.critic_optimiser = _set_up(fabric, critic, config.learning_rate)

    def batches(self, steps: range) -> Iterator[TeacherBatch]:
        """Windows with references."""
        config, fabric = self.config, self.fabric
        draw = Draw(
            *(self.learned, config.batch // fabric.world_size, 1, config.reference_apart),
            *(config.jitter, config.evenness),
        )
        pinned = fabric.device.type == "cuda"
        return batches(
            draw.teacher_batch, steps, self.seed, fabric.global_rank, config.workers, pinned
        )

    def learn(self, batch: TeacherBatch, share: float) -> Figures:
        """One step of the generator, and one of the discriminator once it takes part."""
        batch = batch.to(self.fabric.device)
        quality = self.config.adversary_weight if share >= self.config.adversary_after else 0.0
        self.generator.train()
        real = to_bgr(batch.faces).flatten(0, 1)
        drawn = self.generator(batch.chunks.flatten(0, 1)[:, None], _inputs(batch))
        losses = {"L1": picture_loss(drawn, real, self.config.mouth_weight)}
        loss = (1 - self.sync_weight - quality) * losses["L1"]
        if self.sync_weight:
            losses["sync"] = self._sync_loss(drawn, batch.mels)
            loss = loss + self.sync_weight * losses["sync"]
        if quality:
            losses["quality"] = _judged(self.critic(drawn), real=True)
            loss = loss + quality * losses["quality"]
        self._descend(self.optimiser, loss)
        if quality:
            losses["critic"] = self._teach_critic(real, drawn.detach())
        self._follow(share)
        return {name: float(value.detach()) for name, value in losses.items()}

    def check(self) -> Figures:
        """Measure the moving average on held-out windows, and let the expert in where it is time.

        Returns:
            `L1` over the lower half, `psnr` of it in dB, `sync`: the expert's loss on what was
            drawn; `sync_real`: on what was filmed; `sync_apart`: on what was filmed with other
            windows' sound.
        """
        self._measure_norms()
        rows = [self._check_batch(batch) for batch in self._held_batches()]
        mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        # One answer for all: each process has batch norms of its own, and might find another.
        figures: Figures = self.fabric.broadcast(mean)
        if figures["sync"] < self.config.sync_from:
            if figures["sync_real"] + _TELLING < figures["sync_apart"]:
                self.sync_weight = self.config.sync_weight
            else:
                log.warning(
                    "the expert cannot tell right sound (%.3f) from wrong (%.3f) on held-out film: "
                    "it has no say",
                    *(figures["sync_real"], figures["sync_apart"]),
                )
        return {**figures, "sync_weight": self.sync_weight}

    def state(self) -> State:
        """Weights, optimisers, and the expert's say."""
        return {
            "generator": self.generator.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "critic": self.critic.state_dict(),
            "critic_optimiser": self.critic_optimiser.state_dict(),
            "average": self.average.state_dict(),
            "sync_weight": self.sync_weight,
        }

    def restore(self, state: State) -> None:
        """Go on from `state`."""
        for name in ("generator", "optimiser", "critic", "critic_optimiser", "average"):
            getattr(self, name).load_state_dict(state[name])
        self.sync_weight = state["sync_weight"]

    def result(self) -> dict[str, Tensor]:
        """The average's weights by their official keys."""
        return {name: value.cpu() for name, value in self.average.state_dict().items()}

    def extras(self) -> dict[str, dict[str, Tensor]]:
        """The discriminator, where one took part."""
        if not self.config.adversary_weight:
            return {}
        return {"critic": {name: value.cpu() for name, value in self.critic.state_dict().items()}}

    def sheet(self) -> np.ndarray:
        """Columns of held-out windows: what is shown, the reference, what is drawn, the film."""
        batch = next(iter(self._held_batches())).to(self.fabric.device)
        rows = (_inputs(batch), self._draw(batch), to_bgr(batch.faces).flatten(0, 1))
        shown, drawn, real = (row[::WINDOW_FRAMES][:_SHEET_WINDOWS].float() for row in rows)
        cells = torch.cat([shown[:, :3], shown[:, 3:], drawn, real], dim=2)  # (N, 3, 4 x 96, 96)
        sheet = cells.permute(2, 0, 3, 1).flatten(1, 2).flip(-1)  # (4 x 96, N x 96, 3) RGB
        return (sheet.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()

    def _teach_critic(self, real: Tensor, drawn: Tensor) -> Tensor:
        verdict = self.critic(torch.cat([real, drawn]))
        right, wrong = verdict.split(len(real))
        loss = (_judged(right, real=True) + _judged(wrong, real=False)) / 2
        self._descend(self.critic_optimiser, loss)
        return loss

    def _descend(self, optimiser: Any, loss: Tensor) -> None:
        optimiser.zero_grad()
        self.fabric.backward(loss)
        optimiser.step()

    def _sync_loss(self, drawn: Tensor, mels: Tensor) -> Tensor:
        with self.fabric.autocast():
            return sync_loss(self.expert, drawn, mels)

    @torch.no_grad()
    def _follow(self, share: float) -> None:
        """Move the average towards the weights; at first it is not slower than they are."""
        step = share * self.config.steps
        keep = min(self.config.average, (1 + step) / (10 + step))
        for mean, new in zip(self.average.parameters(), self.bare.parameters(), strict=True):
            mean.lerp_(new.float(), 1 - keep)

    @torch.no_grad()
    def _measure_norms(self) -> None:
        """Measure the averaged network's batch norms on what is learned from.

        Those of the trained network follow its last steps, and lie off the average's own: seen
        were a tint over every face and .059 where .047 of L1 was due.
        """
        norms = [part for part in self.average.modules() if isinstance(part, nn.BatchNorm2d)]
        usual = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean over the batches
        draw = Draw(
            *(self.learned, _CHECK_WINDOWS, 1, self.config.reference_apart),
            *(self.config.jitter, self.config.evenness),
        )
        self.average.train()
        for batch in batches(draw.teacher_batch, range(_NORM_BATCHES), _CHECK_SEED):
            self._draw(batch.to(self.fabric.device))
        self.average.eval()
        for norm, momentum in zip(norms, usual, strict=True):
            norm.momentum = momentum

    def _held_batches(self) -> Iterator[TeacherBatch]:
        draw = Draw(self.held, _CHECK_WINDOWS, 1, self.config.reference_apart)
        return batches(draw.teacher_batch, range(_CHECK_BATCHES), _CHECK_SEED)

    @torch.no_grad()
    def _draw(self, batch: TeacherBatch) -> Tensor:
        with self.fabric.autocast():
            drawn: Tensor = self.average(batch.chunks.flatten(0, 1)[:, None], _inputs(batch))
        return drawn.float()

    @torch.no_grad()
    def _check_batch(self, batch: TeacherBatch) -> Figures:
        batch = batch.to(self.fabric.device)
        drawn, real = self._draw(batch), to_bgr(batch.faces).flatten(0, 1)
        apart = (drawn - real)[:, :, FACE_PX // 2 :]
        error = apart.square().mean(dim=(1, 2, 3)).clamp(1e-10)
        return {
            "L1": float(apart.abs().mean()),
            "psnr": float(-10 * torch.log10(error).mean()),
            "sync": float(self._sync_loss(drawn, batch.mels)),
            "sync_real": float(self._sync_loss(real, batch.mels)),
            "sync_apart": float(self._sync_loss(real, batch.mels.roll(1, 0))),
        }


def picture_loss(drawn: Tensor, real: Tensor, mouth_weight: float) -> Tensor:
    """Mean absolute difference, weighted towards the half that is redrawn.

    Args:
        drawn: (N, 3, 96, 96).
        real: (N, 3, 96, 96).
        mouth_weight: what a pixel of the lower half counts against one of the upper.

    Returns:
        A scalar; `mouth_weight` 1 is the plain L1.
    """
    apart = (drawn - real).abs()
    upper, lower = apart[:, :, : FACE_PX // 2].mean(), apart[:, :, FACE_PX // 2 :].mean()
    return (upper + mouth_weight * lower) / (1 + mouth_weight)


def sync_loss(expert: ColourExpert, drawn: Tensor, mels: Tensor) -> Tensor:
    """Cross-entropy of an expert's cosine with "in sync".

    Args:
        expert: in evaluation mode.
        drawn: (5 B, 3, 96, 96) BGR in [0, 1], windows one after another.
        mels: (B, 80, 16) their sound.

    Returns:
        A scalar with gradients to `drawn`.
    """
    lower = drawn[:, :, FACE_PX // 2 :].unflatten(0, (-1, WINDOW_FRAMES)).flatten(1, 2)
    sound, lips = expert(mels[:, None], lower)
    cosine = (sound.float() * lips.float()).sum(dim=1)
    return -cosine.clamp(_EPS, 1.0).log().mean()


def _judged(likely: Tensor, real: bool) -> Tensor:
    """Cross-entropy of the discriminator's probabilities."""
    likely = likely.float().clamp(_EPS, 1 - _EPS)
    return -(likely if real else 1 - likely).log().mean()


def _inputs(batch: TeacherBatch) -> Tensor:
    return stack_windows(batch.faces, batch.references)


def _set_up(fabric: Any, module: nn.Module, rate: float) -> tuple[Any, Any]:
    module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return fabric.setup(module, torch.optim.Adam(module.parameters(), rate, _BETAS))
