"""A prior's file: weights as safetensors, and what they are made of beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as weights_to_bytes

from metatalk.a2e.prior import Prior, PriorRecord, restore_prior
from metatalk.a2e.prior_config import PriorConfig
from metatalk.errors import MissingAssetError
from metatalk.workspace.output import named_path

KEY = "metatalk_prior"  # under which the record stands in the file's metadata
_REMEDY = "a2e.prior names a file of `metatalk prior train CLIPS... -o prior.safetensors`"


def save_prior(path: Path, prior: Prior) -> None:
    """Write a prior, whole or not at all.

    Args:
        path: the file.
        prior: trained.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in prior.state_dict().items()}
    record = {KEY: json.dumps(asdict(prior.record)), "synthetic": "false"}
    place = named_path(path)
    partial = place.with_name(place.name + ".partial")
    partial.write_bytes(weights_to_bytes(state, record))
    partial.replace(place)


def load_prior(path: Path) -> Prior:
    """Read a prior.

    Args:
        path: the file.

    Returns:
        The prior, on the CPU, ready to foretell.

    Raises:
        MissingAssetError: there is no such file, or it is no prior of this version.
    """
    if not path.is_file():
        raise MissingAssetError(f"there is no prior at {path}", _REMEDY)
    try:
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata() or {}
            state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        record = _read_record(json.loads(metadata[KEY]))
    except (SafetensorError, KeyError, TypeError, ValueError, OmegaConfBaseException) as error:
        raise MissingAssetError(f"{path} is no prior that can be read here", _REMEDY) from error
    return restore_prior(state, record)


def _read_record(stored: Mapping[str, Any]) -> PriorRecord:
    known = {field.name: stored[field.name] for field in fields(PriorRecord)}
    schema = OmegaConf.structured(PriorConfig)
    config = OmegaConf.to_object(OmegaConf.merge(schema, known["config"]))
    assert isinstance(config, PriorConfig)
    pairs = {name: tuple(tuple(row) for row in known[name]) for name in ("hears", "clips")}
    return PriorRecord(**{**known, **pairs, "config": config})
