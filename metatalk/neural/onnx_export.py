"""A trained generator as an ONNX model, for programs without PyTorch."""

from __future__ import annotations

import importlib
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metatalk.errors import MissingAssetError
from metatalk.neural.generator import INPUT_CHANNELS
from metatalk.neural.pix2pix import REACH, Pix2PixGenerator
from metatalk.onnx_runtime import open_onnx_runtime
from metatalk.shapes import check_shape

INPUT, PICTURE = "inputs", "lower_face"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OPSET = 18  # what PyTorch's exporter writes by itself; later ones are converted to
TOLERANCE = 1e-4  # of a colour in [0, 1], between PyTorch and the ONNX model, both in float32
RGB = ("red", "green", "blue")
SURROUNDINGS = (*(f"surroundings_{colour}" for colour in RGB), "mask")
CHANNELS = (  # as `generator.stack_inputs` lays them
    *(f"synthetic_{colour}" for colour in RGB),
    *SURROUNDINGS,
    *(f"normal_{axis}" for axis in "xyz"),
    *(f"{source}_{part}" for source in ("filmed", "matched") for part in (*RGB, "trust")),
)
OUTPUTS = (PICTURE, "coarse", "passed")  # of a generator that returns a tuple


class Exportable(nn.Module):
    """A generator whose inputs and outputs span 0 to 1, and leave in the order of their names."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self.is_signed = is_signed(generator)

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.draw(inputs).values())

    def draw(self, inputs: Tensor) -> dict[str, Tensor]:
        """Render (B, C, S, S) in [0, 1]; gives tensors by name."""
        made = name_outputs(self.generator(inputs * 2 - 1 if self.is_signed else inputs))
        return {name: (v + 1) / 2 if self.is_signed else v for name, v in made.items()}


def name_outputs(made: Any) -> dict[str, Tensor]:
    """Name what a generator returns.

    Args:
        made: one picture, a dict of them, or a tuple, with names of its own or as in `OUTPUTS`.

    Returns:
        Tensors by name.

    >>> list(name_outputs((torch.zeros(1), torch.ones(1))))
    ['lower_face', 'coarse']
    """
    if isinstance(made, Tensor):
        return {PICTURE: made}
    if isinstance(made, Mapping):
        return dict(made)
    return dict(zip(getattr(made, "_fields", OUTPUTS[: len(made)]), made, strict=True))


def is_signed(generator: nn.Module) -> bool:
    """Whether a generator takes and gives colours from -1 to 1, not from 0."""
    return isinstance(generator, Pix2PixGenerator)


def channel_names(generator: nn.Module) -> tuple[str, ...]:
    """What each channel of a generator's input holds.

    Args:
        generator: ours, pix2pix, or one that lists its channels in `input_names`.

    Returns:
        A name for each channel.
    """
    if isinstance(generator, Pix2PixGenerator):
        window = range(-REACH, REACH + 1)
        return (*(f"synthetic_{colour}_{at:+d}" for at in window for colour in RGB), *SURROUNDINGS)
    return tuple(getattr(generator, "input_names", CHANNELS[:INPUT_CHANNELS]))


def require_onnx() -> None:
    """Check that what writes and runs ONNX models is installed.

    Raises:
        MissingAssetError: a package is missing.
    """
    for name in PACKAGES:
        open_package(name)


def open_package(name: str) -> Any:
    """Import a package that is installed on demand only.

    Raises:
        MissingAssetError: it is not installed.
    """
    is_runtime = name.split(".")[0] == "onnxruntime"
    try:
        return open_onnx_runtime(name) if is_runtime else importlib.import_module(name)
    except ImportError as error:
        raise MissingAssetError(
            f"the package {name} is missing, without which no ONNX model is written",
            "pip install 'metatalk[onnx]', or: pip install " + " ".join(PACKAGES),
        ) from error


def generator_to_onnx(generator: nn.Module, crop_px: int, facts: Mapping[str, Any]) -> bytes:
    """Write a generator as an ONNX model: any number of pictures, each of the actor's crop size.

    Args:
        generator: trained, in float32, on the CPU; it is left as it is.
        crop_px: the side of the crops it was trained on.
        facts: more to say in the model's metadata; values that are no text become JSON.

    Returns:
        The model: `inputs` (batch, C, S, S) to `lower_face` (batch, 3, S, S) and whatever else
        the generator returns; its metadata say what each channel holds, and in which range.

    Raises:
        MissingAssetError: a package is missing.
    """
    require_onnx()
    onnx = open_package("onnx")
    channels = channel_names(generator)
    example = _example(2, len(channels), crop_px)
    was_training = generator.training
    try:
        with torch.no_grad():
            outputs = Exportable(generator).eval().draw(example)
        model = _trace(Exportable(generator).eval(), example, tuple(outputs))
    finally:
        generator.train(was_training)
    _free_batch(model)
    _forget_sources(model)
    described = {**_describe(channels, crop_px, outputs), **facts}
    onnx.helper.set_model_props(
        model, {key: v if isinstance(v, str) else json.dumps(v) for key, v in described.items()}
    )
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


@torch.no_grad()
def largest_difference(content: bytes, generator: nn.Module, crop_px: int) -> float:
    """Run an ONNX model and its generator on the same noise, one picture and three.

    Args:
        content: the model, from `generator_to_onnx`.
        generator: in evaluation mode, float32, on the CPU.
        crop_px: the side of the crops.

    Returns:
        The largest difference of any output's value.
    """
    runtime = open_package("onnxruntime")
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    largest = 0.0
    for batch in (1, 3):
        inputs = _example(batch, len(channel_names(generator)), crop_px)
        expected = Exportable(generator).eval().draw(inputs)
        made = session.run(names, {INPUT: inputs.numpy()})
        for name, value in zip(names, made, strict=True):
            check_shape(name, value, " ".join(str(int(size)) for size in expected[name].shape))
            largest = max(largest, float(np.abs(value - expected[name].numpy()).max()))
    return largest


def _example(batch: int, channels: int, crop_px: int) -> Tensor:
    """Noise in [0, 1], always the same: every place and channel of the network is stirred."""
    noise = torch.Generator().manual_seed(batch)
    return torch.rand(batch, channels, crop_px, crop_px, generator=noise)


def _trace(module: nn.Module, example: Tensor, names: tuple[str, ...]) -> Any:
    with _quiet():
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            input_names=[INPUT],
            output_names=list(names),
            dynamic_shapes=({0: torch.export.Dim.AUTO},),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes on packages and on its own future from the user."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _free_batch(model: Any) -> None:
    """Leave the number of pictures open, where a shape check had pinned it to the example's."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]


def _forget_sources(model: Any) -> None:
    """Remove lines of code and paths of this machine, which the exporter leaves at every node."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""


def _describe(
    channels: tuple[str, ...], crop_px: int, outputs: Mapping[str, Tensor]
) -> dict[str, Any]:
    return {
        "crop_px": str(crop_px),
        "layout": "batch, channel, row, column; float32; RGB",
        "range": "every channel 0 to 1, normals with 0.5 for none; clip the outputs to 0 to 1",
        "channels": list(channels),
        "outputs": {name: ["batch", *value.shape[1:]] for name, value in outputs.items()},
    }
