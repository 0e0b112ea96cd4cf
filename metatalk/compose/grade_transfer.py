"""What codes of PQ, HLG and ordinary video mean as light, and back."""

from __future__ import annotations

import numpy as np

from metatalk.shapes import check_shape

SDR, PQ, HLG = 1, 16, 18  # ITU-T H.273; every other transfer is taken for the first
WHITE = 203.0  # cd/m2 of a white page in HDR, and here of ordinary video's white
_SDR_GAMMA = 2.4
_PQ_M1, _PQ_M2 = 2610 / 16384, 2523 / 4096 * 128
_PQ_C1, _PQ_C2, _PQ_C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_PQ_PEAK = 10000.0
_HLG_A, _HLG_PEAK, _HLG_GAMMA = 0.17883277, 1000.0, 1.2
_HLG_B = 1 - 4 * _HLG_A
_HLG_C = 0.5 - _HLG_A * np.log(4 * _HLG_A)
_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593], np.float32)
# Linear light, BT.709 primaries to BT.2020's.
_TO_2020 = np.array(
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]], np.float32
)
_FROM_2020 = np.linalg.inv(_TO_2020.astype(np.float64)).astype(np.float32)


def kind_of_transfer(number: int) -> int:
    """Which of the three a transfer number of ITU-T H.273 is met as."""
    return number if number in (PQ, HLG) else SDR


def convert_codes(colours: np.ndarray, given: int, wanted: int) -> np.ndarray:
    """Show the light of some codes with the codes of another transfer.

    Args:
        colours: (..., 3) float32 R'G'B' in [0, 1].
        given: SDR, PQ or HLG. PQ and HLG have BT.2020 primaries, SDR those of BT.709.
        wanted: the same of the result.

    Returns:
        (..., 3) float32 in [0, 1]: light outside of what is wanted is clipped to it. The very
        array given, where both are alike.

    Raises:
        ShapeError: the last axis is not 3.

    Source: SMPTE ST 2084, eq. 4 and 5; ITU-R BT.2100-2, tables 4 and 5 (HLG's screen has
        1000 cd/m2); ITU-R BT.2408, section 2: white at 203 cd/m2; ITU-R BT.1886 and BT.2087.
    """
    check_shape("colours", colours, "... 3")
    if given == wanted:
        return colours
    light = _to_light(np.clip(colours, 0, 1).astype(np.float32), given)
    return _from_light(np.maximum(light, 0), wanted)


def _to_light(codes: np.ndarray, kind: int) -> np.ndarray:
    """(..., 3) cd/m2, BT.2020 primaries."""
    if kind == PQ:
        root = codes ** np.float32(1 / _PQ_M2)
        share = np.maximum(root - _PQ_C1, 0) / (_PQ_C2 - _PQ_C3 * root)
        return (_PQ_PEAK * share ** (1 / _PQ_M1)).astype(np.float32)
    if kind == HLG:
        above = (np.exp((codes - _HLG_C) / _HLG_A) + _HLG_B) / 12
        scene = np.where(codes <= 0.5, codes**2 / 3, above)
        whole = (scene @ _LUMA_2020)[..., None]
        return (_HLG_PEAK * np.maximum(whole, 1e-9) ** (_HLG_GAMMA - 1) * scene).astype(np.float32)
    return (WHITE * codes ** np.float32(_SDR_GAMMA)) @ _TO_2020.T


def _from_light(light: np.ndarray, kind: int) -> np.ndarray:
    """(..., 3) codes in [0, 1]."""
    if kind == PQ:
        power = (np.minimum(light / _PQ_PEAK, 1)) ** _PQ_M1
        codes = ((_PQ_C1 + _PQ_C2 * power) / (1 + _PQ_C3 * power)) ** _PQ_M2
    elif kind == HLG:
        whole = np.maximum((light @ _LUMA_2020)[..., None] / _HLG_PEAK, 1e-9)
        scene = np.minimum(light / _HLG_PEAK * whole ** (1 / _HLG_GAMMA - 1), 1)
        curve = _HLG_A * np.log(np.maximum(12 * scene - _HLG_B, 1e-6)) + _HLG_C
        codes = np.where(scene <= 1 / 12, np.sqrt(3 * scene), curve)
    else:
        codes = np.clip(light @ _FROM_2020.T / WHITE, 0, 1) ** (1 / _SDR_GAMMA)
    return np.clip(codes, 0, 1).astype(np.float32)
