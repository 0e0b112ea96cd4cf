"""Everything that turns one actor's sound into mouth: networks, kernel, and the actor's norms."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from metatalk.a2e.config import A2EConfig
from metatalk.a2e.features import FeatureStats
from metatalk.a2e.kernel import KernelRegression, kernel_reach_columns
from metatalk.a2e.networks import STRIDE, build_network, reach_columns
from metatalk.errors import MissingAssetError
from metatalk.lipsync.mel import BANDS


class MouthModel(nn.Module):
    """Networks and kernel regression in a fixed mixture, with what the actor's footage showed."""

    def __init__(self, components: int, config: A2EConfig, centres: int = 0, seed: int = 0) -> None:
        super().__init__()
        self.share = config.kernel.share
        self.reach = _even(max(reach_columns(config.network), kernel_reach_columns(config.kernel)))
        self.networks = build_network(components, config.network, seed)
        self.kernel = KernelRegression(components, config.kernel, centres)
        self.register_buffer("speech_mean", torch.zeros(BANDS))
        self.register_buffer("speech_deviation", torch.ones(BANDS))
        self.register_buffer("rest", torch.zeros(components))
        self.register_buffer("gain", torch.ones(components))

    speech_mean: Tensor
    speech_deviation: Tensor
    rest: Tensor  # (K,) the mouth when the actor says nothing
    gain: Tensor  # (K,) stretch that gives the prediction part of the movement averaging took

    def forward(self, features: Tensor) -> Tensor:
        """Predict the mouth at 40 steps a second.

        Args:
            features: (B, 80, M) normalised mel columns.

        Returns:
            (B, K, ceil(M / 2)) standardised mouth coordinates.
        """
        if self.share == 0:
            out: Tensor = self.networks(features)
        elif self.share == 1:
            out = self.kernel(features)
        else:
            out = torch.lerp(self.networks(features), self.kernel(features), self.share)
        return out

    @property
    def components(self) -> int:
        """K, the size of the actor's mouth space."""
        return len(self.rest)

    @property
    def stats(self) -> FeatureStats:
        """The footage's own speech statistics."""
        return FeatureStats(self.speech_mean.numpy(), self.speech_deviation.numpy())


def model_state(model: MouthModel) -> dict[str, Tensor]:
    """Collect all that has to be stored to restore the model: names and contiguous tensors."""
    return {name: value.detach().contiguous() for name, value in model.state_dict().items()}


def restore_model(state: Mapping[str, Tensor], config: A2EConfig) -> MouthModel:
    """Rebuild a trained model.

    Args:
        state: from `model_state`.
        config: the settings it was trained with.

    Returns:
        The model, ready to predict.

    Raises:
        MissingAssetError: the state belongs to other settings.
    """
    try:
        model = MouthModel(len(state["rest"]), config, centres=len(state["kernel.centres"]))
        model.load_state_dict(dict(state))
    except (KeyError, RuntimeError) as error:
        raise MissingAssetError(
            "the stored audio-to-expression network does not fit the settings of section a2e",
            "Train it again: --rerun train_a2e.",
        ) from error
    return model.eval()


def _even(columns: int) -> int:
    return -(-columns // STRIDE) * STRIDE
