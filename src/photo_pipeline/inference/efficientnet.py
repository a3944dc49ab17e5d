"""EfficientNet-Lite0 from torch's weights to ONNX.

Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural networks" (2019),
in the Lite variant: no squeeze-and-excite, ReLU6 instead of swish.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from photo_pipeline.inference import onnx
from photo_pipeline.inference.pth import Weights

SIDE: Final = 224
"""Width and height of the input in pixels."""
CLASSES: Final = 1000
INPUT, OUTPUT = "input", "probabilities"

EPSILON: Final = 1e-3
"""Of the batch normalisation, as trained."""
STEM_STRIDE: Final = 2
STAGE_STRIDES: Final = (1, 2, 2, 2, 1, 2, 1)
"""Of the first block of each stage; the others have 1 and add their input."""


def to_onnx(weights: Weights) -> bytes:
    """Return the network: N x 3 x 224 x 224 (RGB, (v - 127) / 128) to N x 1000 probabilities.

    Batch normalisation is folded into the convolutions. The same bytes on every machine: only
    sums, products, quotients and roots of single numbers, which IEEE 754 rounds exactly.
    """
    graph = _Graph(weights)
    last = graph.convolution(INPUT, "_conv_stem.weight", "_bn0", stride=STEM_STRIDE)
    last = _blocks(graph, last)
    last = graph.convolution(last, "_conv_head.weight", "_bn1")
    last = graph.add("GlobalAveragePool", [last])
    last = graph.add("Flatten", [last], axis=1)
    fully = [graph.tensor(weights[f"_fc.{part}"]) for part in ("weight", "bias")]
    last = graph.add("Gemm", [last, *fully], transB=1)
    graph.nodes.append(onnx.node("Softmax", [last], OUTPUT, axis=1))
    return onnx.model(
        name="efficientnet_lite0",
        nodes=graph.nodes,
        tensors=graph.tensors,
        inputs=[onnx.value(INPUT, ["N", 3, SIDE, SIDE])],
        outputs=[onnx.value(OUTPUT, ["N", CLASSES])],
    )


def _blocks(graph: "_Graph", last: str) -> str:
    """Append the inverted residual blocks; a new stage begins where the width changes."""
    count = 1 + max(int(n.split(".")[1]) for n in graph.weights if n.startswith("_blocks."))
    strides = iter(STAGE_STRIDES)
    width = None
    for block in (f"_blocks.{i}." for i in range(count)):
        before, wide = width, graph.weights
        width = wide[f"{block}_project_conv.weight"].shape[0]
        first = width != before
        made = last
        if f"{block}_expand_conv.weight" in wide:
            made = graph.convolution(made, f"{block}_expand_conv.weight", f"{block}_bn0")
        made = graph.convolution(
            made,
            f"{block}_depthwise_conv.weight",
            f"{block}_bn1",
            stride=next(strides) if first else 1,
            depthwise=True,
        )
        made = graph.convolution(made, f"{block}_project_conv.weight", f"{block}_bn2", active=False)
        last = made if first else graph.add("Add", [last, made])
    return last


class _Graph:
    """Nodes and tensors as they are added, with names of their own."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[bytes] = []
        self.tensors: list[bytes] = []
        self._relu6 = [self.tensor(np.array(bound, np.float32)) for bound in (0, 6)]

    def tensor(self, values: NDArray[Any]) -> str:
        name = f"w{len(self.tensors)}"
        self.tensors.append(onnx.tensor(name, values.astype(np.float32)))
        return name

    def add(self, kind: str, inputs: list[str], **attributes: onnx.Attribute) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(onnx.node(kind, inputs, name, **attributes))
        return name

    def convolution(
        self,
        last: str,
        kernel: str,
        norm: str,
        *,
        stride: int = 1,
        depthwise: bool = False,
        active: bool = True,
    ) -> str:
        values = self.weights[kernel]
        gain, shift, mean, variance = (
            self.weights[f"{norm}.{part}"]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gain / np.sqrt(variance + np.float32(EPSILON))
        made = self.add(
            "Conv",
            [
                last,
                self.tensor(values * scale[:, None, None, None]),
                self.tensor(shift - mean * scale),
            ],
            kernel_shape=values.shape[2:],
            strides=(stride, stride),
            group=values.shape[0] if depthwise else 1,
            auto_pad="SAME_UPPER",  # as TensorFlow, in which it was trained
        )
        return self.add("Clip", [made, *self._relu6]) if active else made
