"""A generator's ONNX model in eight-bit integers, for processors that multiply those fastest."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from metatalk.neural.infer import render_crops
from metatalk.neural.onnx_export import INPUT, is_signed, open_package
from metatalk.neural.pictures import CropPictures


def see_inputs(generator: nn.Module, pictures: CropPictures) -> list[np.ndarray]:
    """Watch what a generator is given when it renders.

    Args:
        generator: any that renders from pictures, in float32, on the CPU.
        pictures: of the frames to render.

    Returns:
        (C, S, S) float32 for each frame, as the ONNX model takes it, in [0, 1].
    """
    seen: list[np.ndarray] = []

    def note(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        inputs = (given[0] + 1) / 2 if is_signed(generator) else given[0]
        seen.extend(inputs.float().cpu().numpy())

    watching = generator.register_forward_pre_hook(note)
    try:
        render_crops(generator, pictures)
    finally:
        watching.remove()
    return seen


def quantize(content: bytes, samples: Sequence[np.ndarray]) -> bytes:
    """Restate a model's convolutions in eight bits, scaled by what samples make it compute.

    The last ones and the blurs stay in float32: eight bits were seen to grain the skin with their
    own steps, to a sharpness of 0.78 of the footage's in place of 0.53, for a twelfth of the time.

    Args:
        content: a model in float32, from `generator_to_onnx`.
        samples: (C, S, S) what it takes, in [0, 1]; a few dozen frames of all kinds.

    Returns:
        The model: the same inputs, outputs and metadata, convolutions in eight bits.

    Raises:
        MissingAssetError: a package is missing.

    Source: Jacob et al. 2018, section 2. Departs: a scale for each channel of the weights.
    """
    onnx, tools = open_package("onnx"), open_package("onnxruntime.quantization")
    model = onnx.load_from_string(content)
    facts = {fact.key: fact.value for fact in model.metadata_props}
    # The tools work through files; none of them is left.
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "int8.onnx"
        tools.quantize_static(
            model,
            str(path),
            _reader(tools, samples),
            quant_format=tools.QuantFormat.QDQ,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=delicate_convolutions(model.graph),
        )
        small = onnx.load(str(path))
    onnx.helper.set_model_props(small, {**facts, "precision": "int8"})
    onnx.checker.check_model(small, full_check=True)
    result: bytes = small.SerializeToString()
    return result


def delicate_convolutions(graph: Any) -> list[str]:
    """Find those that no other learned convolution comes after, and the blurs.

    Args:
        graph: of an ONNX model. A blur is a convolution of each channel by itself.

    Returns:
        The nodes' names.
    """
    makers = {name: node for node in graph.node for name in node.output}
    left, seen, found = [output.name for output in graph.output], set(), []
    while left:
        node = makers.get(left.pop())
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        if node.op_type in ("Conv", "ConvTranspose"):
            found.append(node.name)
        learned = node.op_type == "ConvTranspose" or (node.op_type == "Conv" and _groups(node) == 1)
        if not learned:
            left.extend(node.input)
    return found


def _groups(node: Any) -> int:
    return next((int(own.i) for own in node.attribute if own.name == "group"), 1)


def mean_difference(content: bytes, other: bytes, samples: Sequence[np.ndarray]) -> float:
    """Compare what two models draw.

    Args:
        content: a model.
        other: another one of the same inputs and outputs.
        samples: (C, S, S) what they take, in [0, 1].

    Returns:
        The mean absolute difference of the first output, of colours in [0, 1].
    """
    runtime = open_package("onnxruntime")
    sessions = [
        runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
        for model in (content, other)
    ]
    differences = []
    for sample in samples:
        first, second = (one.run(None, {INPUT: sample[None]})[0] for one in sessions)
        differences.append(float(np.abs(first - second).mean()))
    return float(np.mean(differences))


def _reader(tools: Any, samples: Sequence[np.ndarray]) -> Any:
    class Reader(tools.CalibrationDataReader):
        """Hands out one frame at a time, as the tools want it."""

        def __init__(self) -> None:
            self.left: Iterator[np.ndarray] = iter(samples)

        def get_next(self) -> dict[str, np.ndarray] | None:
            sample = next(self.left, None)
            return None if sample is None else {INPUT: sample[None]}

    return Reader()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the tools' advice, which goes to the root logger, from the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
