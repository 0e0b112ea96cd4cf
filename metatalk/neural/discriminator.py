"""The discriminator: is this patch footage, or generated, for this synthetic face?"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from metatalk.neural.generator import INPUT_CHANNELS


class PatchDiscriminator(nn.Module):
    """A conditional PatchGAN that judges overlapping patches of about 46 pixels.

    Source: Isola et al. 2017, section 3.3. Departs: spectral norm (Miyato et al. 2018) in place
    of batch norm, fewer channels.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            (
                spectral_norm(nn.Conv2d(3 + INPUT_CHANNELS, width, 4, stride=2, padding=1)),
                spectral_norm(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)),
                spectral_norm(nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1)),
                spectral_norm(nn.Conv2d(4 * width, 1, 3, padding=1)),
            )
        )

    def forward(self, picture: Tensor, condition: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Judge.

        Args:
            picture: (B, 3, H, W) RGB in [0, 1], footage or generated.
            condition: (B, 18, H, W) what the generator saw.

        Returns:
            Scores (B, 1, H/8, W/8), above zero for footage, and the features on the way.
        """
        features = torch.cat([picture, condition], dim=1) - 0.5
        seen = []
        for layer in self.layers[:-1]:
            features = functional.leaky_relu(layer(features), 0.2)
            seen.append(features)
        return self.layers[-1](features).float(), seen
