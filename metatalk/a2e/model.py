"""Everything that turns one actor's sound into mouth: networks, kernel, and the actor's norms."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from metatalk.a2e.architectures.choice import build_network
from metatalk.a2e.architectures.interface import STRIDE
from metatalk.a2e.config import A2EConfig
from metatalk.a2e.features import FeatureStats, normalise_mel
from metatalk.a2e.hearing import Ears, Sound
from metatalk.a2e.kernel import KernelRegression, kernel_reach_columns
from metatalk.a2e.prior import Prior
from metatalk.errors import MissingAssetError
from metatalk.lipsync.mel import BANDS, COLUMNS_PER_SECOND

_STRETCH = 120 * COLUMNS_PER_SECOND  # columns that a voice is judged by
_SPOKEN = 0.5  # probability of speech of the moments that a voice is judged by
# How many times further from the footage than the actor's own voice a foreign one begins, and
# from where on nothing of it is the actor's.
_NEAR, _FAR = 1.1, 1.4
_MOST_SEEN = 3000  # mouths of the footage that are kept to judge predictions by


class MouthModel(nn.Module):
    """Networks and kernel regression in a fixed mixture, with what the actor's footage showed.

    Args:
        components: K, size of the mouth space.
        config: of networks and kernel.
        heard: D, rows of the features beside the mel.
        sizes: of the stored arrays: the kernel's axes and centres, and the mouths seen.
        seed: of the networks' weights.
        prior: whose answer, U more rows, stands below the D.
    """

    def __init__(
        self,
        components: int,
        config: A2EConfig,
        heard: int = 0,
        sizes: tuple[int, int, int] = (0, 0, 0),
        seed: int = 0,
        prior: Prior | None = None,
    ) -> None:
        super().__init__()
        axes, centres, seen = sizes
        self._prior = (prior,)  # in a tuple: its weights stand in a file of their own
        rows = heard + (prior.components if prior else 0)
        self.share = kernel_share(config)
        self.rows = network_rows(config, rows)
        self.lookahead = lookahead_columns(config)
        self.networks = build_network(
            config.network, len(range(BANDS + rows)[self.rows]), components, config, seed,
            self.lookahead,
        )  # fmt: skip
        self.kernel = KernelRegression(
            components, config.kernel, rows, axes, centres, self.lookahead
        )
        self.reach = self._reach(config, axes > 0)
        self.register_buffer("speech_mean", torch.zeros(BANDS))
        self.register_buffer("speech_deviation", torch.ones(BANDS))
        self.register_buffer("heard_mean", torch.zeros(heard))
        self.register_buffer("heard_deviation", torch.ones(heard))
        self.register_buffer("rest", torch.zeros(components))
        self.register_buffer("gain", torch.ones(components))
        self.register_buffer("seen", torch.zeros(seen, components))
        self.register_buffer("own_distance", torch.tensor(math.inf))
        self.register_buffer("ears", torch.zeros(32, dtype=torch.uint8))

    speech_mean: Tensor
    speech_deviation: Tensor
    heard_mean: Tensor  # (D,)
    heard_deviation: Tensor  # (D,)
    rest: Tensor  # (K,) the mouth when the actor says nothing
    gain: Tensor  # (K,) stretch that gives the prediction part of the movement averaging took
    seen: Tensor  # (F, K) mouths of the footage
    own_distance: Tensor  # () of the actor's own voice, unheard, from the footage's sounds
    ears: Tensor  # (32,) fingerprint of what listened to the footage

    def forward(self, features: Tensor, foreign: float = 0.0) -> Tensor:
        """Predict the mouth at 40 steps a second.

        Args:
            features: (B, 80 + D + U, M) normalised columns.
            foreign: from 0, the actor's own voice, to 1, one that is nothing like it.

        Returns:
            (B, K, ceil(M / 2)) standardised mouth coordinates.
        """
        if self.share == 1:
            return self.kernel(features, foreign)
        out: Tensor = self.networks(features[:, self.rows])
        if foreign > 0 and self.share > 0 and features.shape[1] > BANDS:
            # As in the training windows whose mel was dropped.
            unheard = torch.zeros_like(features[:, :BANDS])
            without = torch.cat([unheard, features[:, BANDS:]], dim=1)
            out = torch.lerp(out, self.networks(without), foreign)
        return torch.lerp(out, self.kernel(features, foreign), self.share) if self.share else out

    def foreignness(self, sound: Sound, stats: FeatureStats, speech: np.ndarray) -> float:
        """Judge how unlike the actor's own voice a recording is.

        Args:
            sound: the recording.
            stats: what its mel is normalised by.
            speech: (M,) probability that somebody speaks.

        Returns:
            0, as like the footage as what was held out of it, to 1; what is asked for by
            `a2e.kernel.foreign`, where it is.
        """
        if self.kernel.config.foreign is not None:
            return self.kernel.config.foreign
        if not torch.isfinite(self.own_distance) or not len(self.heard_mean):
            return 0.0
        # A stretch of two minutes tells a voice; memory does not grow with the recording.
        begin = int(np.argmax(speech > _SPOKEN)) // STRIDE * STRIDE
        stretch = slice(begin, begin + _STRETCH)
        sound = Sound(sound.mel[:, stretch], sound.heard[:, stretch])
        chosen = torch.from_numpy(speech[stretch][::STRIDE] > _SPOKEN)
        mel = torch.from_numpy(normalise_mel(sound.mel, stats))
        distance = self.kernel.distance(mel, chosen)
        times = distance / float(self.own_distance)
        return min(max((times - _NEAR) / (_FAR - _NEAR), 0.0), 1.0) if math.isfinite(times) else 0.0

    def normalise(self, sound: Sound, stats: FeatureStats) -> Tensor:
        """(80 + D + U, M) features of a sound: the mel by its own statistics, the rest by ours."""
        mel = torch.from_numpy(normalise_mel(sound.mel, stats))
        heard = torch.from_numpy(sound.heard) - self.heard_mean[:, None]
        rows = [mel, heard / self.heard_deviation[:, None]]
        if self.prior is not None:
            rows.append(self.prior.foretell(mel, torch.from_numpy(sound.heard)))
        return torch.cat(rows)

    @property
    def prior(self) -> Prior | None:
        """What many actors have in common, if the actor was begun with it."""
        return self._prior[0]

    def require_ears(self, ears: Ears) -> None:
        """Raise a MissingAssetError unless these ears hear what the model was trained on."""
        if self.fingerprint != ears.fingerprint:
            raise MissingAssetError(
                "the actor was trained on other features of the sound than can be heard here "
                f"({', '.join(('mel', *ears.names))})",
                "Install or name the encoder that it was trained with (a2e.encoder), or train "
                "again: --rerun train_a2e.",
            )

    @property
    def fingerprint(self) -> bytes:
        """Of the ears that the model was trained with."""
        return bytes(self.ears.tolist())

    @property
    def components(self) -> int:
        """K, the size of the actor's mouth space."""
        return len(self.rest)

    @property
    def stats(self) -> FeatureStats:
        """The footage's own speech statistics."""
        return FeatureStats(self.speech_mean.numpy(), self.speech_deviation.numpy())

    def _reach(self, config: A2EConfig, hears: bool) -> tuple[int, int]:
        """Columns before and after a step that it depends on; whole steps."""
        sides = [self.networks.reach.columns_around()]
        if self.share > 0:
            sides.append(kernel_reach_columns(config.kernel, hears, self.lookahead))
        back, ahead = (max(side) for side in zip(*sides, strict=True))
        further = self.prior.reach if self.prior is not None else (0, 0)
        return _even(back) + further[0], _even(ahead) + further[1]


def kernel_share(config: A2EConfig) -> float:
    """How much of the prediction is the kernel's: none beside a network of the field's."""
    return config.kernel.share if config.network == "ours" else 0.0


def network_rows(config: A2EConfig, heard: int) -> slice:
    """Which rows of the features the networks get: all, or for mfcc networks not the mel."""
    wants_mel = config.network in ("ours", "bilstm", "tcn", "adversarial") or heard == 0
    return slice(0, BANDS + heard) if wants_mel else slice(BANDS, BANDS + heard)


def lookahead_columns(config: A2EConfig) -> int | None:
    """Columns to come that a prediction may depend on; None: as many as it likes."""
    if config.lookahead_ms is None:
        return None
    return int(config.lookahead_ms * COLUMNS_PER_SECOND / 1000)


def keep_seen(mouths: Tensor) -> Tensor:
    """Choose the (F, K) mouths that a model remembers of (N, K) ones."""
    kept = np.linspace(0, len(mouths) - 1, min(len(mouths), _MOST_SEEN)).round().astype(int)
    return mouths[torch.from_numpy(kept)].clone()


def model_state(model: MouthModel) -> dict[str, Tensor]:
    """Collect all that has to be stored to restore the model: names and contiguous tensors."""
    return {name: value.detach().contiguous() for name, value in model.state_dict().items()}


def restore_model(
    state: Mapping[str, Tensor], config: A2EConfig, prior: Prior | None = None
) -> MouthModel:
    """Rebuild a trained model.

    Args:
        state: from `model_state`.
        config: the settings it was trained with.
        prior: that it was begun with.

    Returns:
        The model, ready to predict.

    Raises:
        MissingAssetError: the state belongs to other settings.
    """
    try:
        axes, centres = state["kernel.axes"], state["kernel.centres"]
        sizes = (axes.shape[1], len(centres), len(state["seen"]))
        heard = len(state["heard_mean"])
        model = MouthModel(len(state["rest"]), config, heard, sizes, prior=prior)
        model.load_state_dict(dict(state))
    except (KeyError, RuntimeError) as error:
        raise MissingAssetError(
            "the stored audio-to-expression network does not fit the settings of section a2e",
            "Train it again: --rerun train_a2e.",
        ) from error
    return model.eval()


def _even(columns: int) -> int:
    return -(-columns // STRIDE) * STRIDE
