"""What many actors' mouths have in common: a model whose answer an actor's networks hear.

Every actor's expression is taken from the actor's own mean and brought to the actor's own
spread, on axes that all share. A model that learned these coordinates from many actors says
something about an actor it has never seen; how that actor's mouth differs is left to the actor's
own networks and kernel, which hear its answer beside the sound.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from metatalk.a2e.architectures.choice import build_network
from metatalk.a2e.architectures.interface import STRIDE
from metatalk.a2e.hearing import Ears
from metatalk.a2e.kernel import KernelRegression, kernel_reach_columns
from metatalk.a2e.prior_config import PriorConfig
from metatalk.a2e.targets import MouthSpace, fit_mouth_space
from metatalk.errors import ConfigError, FittingError, MissingAssetError
from metatalk.lipsync.mel import BANDS
from metatalk.shapes import check_shape

_BLOCK_COLUMNS = 4800  # one minute at a time: memory stays flat however long the recording
# Deviation of the answer. Each of its few rows stands beside hundreds of the encoder's, and the
# kernel regression weighs rows by their size: so loud, unseen actors' lips were foretold best.
_LOUDNESS = 7.0
_LEAST_DEVIATION = 1e-6


@dataclass(frozen=True)
class PriorRecord:
    """What a prior is made of, and what it can be used with."""

    face_model: str  # the name that fit.face_model has
    units: int  # E, of the face model's expression
    hears: tuple[tuple[str, int], ...]  # streams beside the mel, and their rows
    fingerprint: str  # of what listened, hexadecimal
    encoder_terms: str  # under which the encoder of speech came
    config: PriorConfig
    clips: tuple[tuple[str, str, str], ...]  # name, terms and digest of each clip

    @property
    def heard(self) -> int:
        """D, the rows beside the mel."""
        return sum(size for _, size in self.hears)


class Prior(nn.Module):
    """Networks and kernel regression over mel and streams that foretell standardised mouths.

    Args:
        record: what it is made of.
        sizes: the kernel's axes and centres.
        seed: of the networks' weights.
    """

    def __init__(self, record: PriorRecord, sizes: tuple[int, int] = (0, 0), seed: int = 0) -> None:
        super().__init__()
        self.record = record
        rows, config = BANDS + record.heard, record.config
        self.networks = build_network("ours", rows, config.components, config, seed)
        self.kernel = KernelRegression(config.components, config.kernel, record.heard, *sizes)
        self.register_buffer("heard_mean", torch.zeros(record.heard))
        self.register_buffer("heard_deviation", torch.ones(record.heard))
        self.register_buffer("spread", torch.ones(()))

    heard_mean: Tensor  # (D,)
    heard_deviation: Tensor  # (D,)
    spread: Tensor  # () deviation of its answers; those it is less sure of stay smaller

    @property
    def components(self) -> int:
        """U, the coordinates it foretells."""
        return self.record.config.components

    @property
    def reach(self) -> tuple[int, int]:
        """Columns before and after one that its answer depends on; whole steps."""
        by_kernel = kernel_reach_columns(self.record.config.kernel, hears=True)
        sides = zip(self.networks.reach.columns_around(), by_kernel, strict=True)
        # Every second column lies between two steps.
        back, ahead = (-(-max(side) // STRIDE) * STRIDE + STRIDE for side in sides)
        return back, ahead

    @property
    def digest(self) -> str:
        """Changes with its weights and with what it is made of."""
        content = hashlib.sha256(repr(asdict(self.record)).encode())
        for name, value in sorted(self.state_dict().items()):
            content.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
        return content.hexdigest()

    def features(self, mel: Tensor, heard: Tensor) -> Tensor:
        """Join what its networks are given.

        Args:
            mel: (..., 80, M) normalised by the recording's own speech.
            heard: (..., D, M) as the streams give it.

        Returns:
            (..., 80 + D, M).
        """
        scaled = (heard - self.heard_mean[:, None]) / self.heard_deviation[:, None]
        return torch.cat([mel, scaled], dim=-2)

    def forward(self, features: Tensor) -> Tensor:
        """Mix both answers: (B, 80 + D, M) -> (B, U, ceil(M / 2))."""
        settings = self.record.config.kernel
        out: Tensor = self.networks(features)
        if settings.share > 0:
            out = torch.lerp(out, self.kernel(features, settings.foreign or 0.0), settings.share)
        return out

    @torch.no_grad()
    def foretell(self, mel: Tensor, heard: Tensor) -> Tensor:
        """Say what a mouth does, whosever it is.

        Args:
            mel: (80, M) normalised by the recording's own speech.
            heard: (D, M) as the streams give it.

        Returns:
            (U, M), standardised and as loud as it is to be heard; the same as in one piece.
        """
        columns = check_shape("mel", mel, f"{BANDS} M")["M"]
        check_shape("heard", heard, "D M", D=self.record.heard, M=columns)
        self.eval()
        back, ahead = self.reach
        parts = [mel.new_zeros(self.components, 0)]
        for first in range(0, columns, _BLOCK_COLUMNS):
            start, stop = max(first - back, 0), first + _BLOCK_COLUMNS + ahead
            steps = self(self.features(mel[:, start:stop], heard[:, start:stop])[None])[0]
            made = _steps_to_columns(steps, min(stop, columns) - start)
            parts.append(made[:, first - start :][:, :_BLOCK_COLUMNS])
        return torch.cat(parts, dim=1) * (_LOUDNESS / self.spread)

    def require(self, face_model: str, units: int, ears: Ears) -> None:
        """Check that the prior speaks of this face model, and hears what is heard here.

        Args:
            face_model: name of the face model in use.
            units: E, of its expression.
            ears: what listens.

        Raises:
            ConfigError: it was learned in another face model's units.
            MissingAssetError: it was learned from other features of the sound.
        """
        record = self.record
        if (record.face_model, record.units) != (face_model, units):
            raise ConfigError(
                f"the prior was learned in {record.units} units of the face model "
                f"{record.face_model}, not in {units} of {face_model}",
                f"set fit.face_model={record.face_model}, or train a prior with this one",
            )
        if record.fingerprint != ears.fingerprint.hex():
            names = ("mel", *(name for name, _ in record.hears))
            raise MissingAssetError(
                f"the prior was learned from other features ({', '.join(names)}) than are heard "
                f"here ({', '.join(('mel', *ears.names))})",
                "name the encoder and streams that it was trained with (a2e.encoder, "
                "a2e.features.streams, a2e.network), or train the prior again",
            )


def fit_universal_mouth(
    expressions: Sequence[np.ndarray],
    mouth_basis: np.ndarray,
    lower_units: np.ndarray,
    components: int = 8,
) -> MouthSpace:
    """Find the axes on which all actors' mouths are measured.

    Args:
        expressions: of each actor (T, E), the frames that show the face well.
        mouth_basis: (E, D) millimetres per unit, see `fit_mouth_space`.
        lower_units: (E,) bool, the units that speech may change.
        components: U at most.

    Returns:
        A mouth space of deviations from an actor's mean; every actor counts the same in it,
        however long their clip.

    Raises:
        FittingError: too few frames, or mouths that never move.
    """
    centred = [each - each.mean(axis=0) for each in expressions if len(each) > 1]
    if not centred:
        raise FittingError("no clip shows a face", "Give clips of people who speak.")
    # Of one energy, so that nobody's axes win by a long clip or a lively face.
    even = np.concatenate([each / max(float(np.linalg.norm(each)), 1e-9) for each in centred])
    even = even * (np.linalg.norm(np.concatenate(centred)) / max(float(np.linalg.norm(even)), 1e-9))
    return fit_mouth_space(even, np.ones(len(even), bool), mouth_basis, lower_units, components)


def measure_universally(
    space: MouthSpace, expression: np.ndarray, has_face: np.ndarray
) -> np.ndarray:
    """Measure an actor's mouth from the actor's own mean, in the actor's own spread.

    Args:
        space: from `fit_universal_mouth`.
        expression: (T, E).
        has_face: (T,) bool, the frames that mean and spread are taken of.

    Returns:
        (T, U) float32; an axis on which the actor never moves is 0.
    """
    change = (expression - expression[has_face].mean(axis=0)) @ space.encoder
    spread = change[has_face].std(axis=0)
    still = spread < _LEAST_DEVIATION
    scaled: np.ndarray = np.where(still, 0.0, change / np.where(still, 1.0, spread))
    return scaled.astype(np.float32)


def restore_prior(state: Mapping[str, Tensor], record: PriorRecord) -> Prior:
    """Rebuild a trained prior.

    Args:
        state: its tensors by name.
        record: what it is made of.

    Returns:
        The prior, ready to foretell.

    Raises:
        MissingAssetError: the tensors belong to other settings.
    """
    try:
        sizes = (state["kernel.axes"].shape[1], len(state["kernel.centres"]))
        prior = Prior(record, sizes)
        prior.load_state_dict(dict(state))
    except (KeyError, RuntimeError) as error:
        raise MissingAssetError(
            "the prior's weights do not fit the settings that stand beside them",
            "the file is damaged or of another version: train the prior again",
        ) from error
    return prior.eval()


def _steps_to_columns(steps: Tensor, columns: int) -> Tensor:
    """(U, N) at 40 a second to (U, M) at 80, on the line between two steps."""
    after = torch.cat([steps[:, 1:], steps[:, -1:]], dim=1)
    between = torch.stack([steps, (steps + after) / 2], dim=2)
    return between.flatten(1)[:, :columns]
