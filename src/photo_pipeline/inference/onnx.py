"""Write models in ONNX, which is Protocol Buffers: as much of both as a few graphs need.

Field numbers and types are those of ``onnx.proto3`` (ONNX IR version 8).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

IR_VERSION: Final = 8
OPSET: Final = 13
"""The newest that needs nothing newer than IR version 8, and that says all there is to say."""
PRODUCER: Final = "photo-pipeline"

_FLOAT, _INT64 = 1, 7  # TensorProto.DataType
_TENSOR_TYPES: Final = {"float32": _FLOAT, "int64": _INT64}
_INT, _STRING, _INTS = 2, 3, 7  # AttributeProto.AttributeType
_VARINT, _BYTES = 0, 2  # wire types of Protocol Buffers
_SEVEN_BITS, _MORE = 0x7F, 0x80

Attribute = int | str | Sequence[int]
Dimension = int | str
"""A fixed size, or the name of one that may vary."""


def tensor(name: str, values: NDArray[Any]) -> bytes:
    """Return a TensorProto; *values* are float32 or int64."""
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    return (
        b"".join(_number(1, size) for size in values.shape)
        + _number(2, _TENSOR_TYPES[values.dtype.name])
        + _text(8, name)
        + _bytes(9, np.ascontiguousarray(little).tobytes())
    )


def node(kind: str, inputs: Iterable[str], output: str, **attributes: Attribute) -> bytes:
    """Return a NodeProto of the operator *kind* with one output."""
    return (
        b"".join(_text(1, name) for name in inputs)
        + _text(2, output)
        + _text(4, kind)
        + b"".join(_bytes(5, _attribute(name, value)) for name, value in attributes.items())
    )


def value(name: str, shape: Sequence[Dimension]) -> bytes:
    """Return a ValueInfoProto: an input or output of float32."""
    dimensions = b"".join(
        _bytes(1, _text(2, size) if isinstance(size, str) else _number(1, size)) for size in shape
    )
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, _FLOAT) + _bytes(2, dimensions)))


def model(
    *,
    name: str,
    nodes: Iterable[bytes],
    tensors: Iterable[bytes],
    inputs: Iterable[bytes],
    outputs: Iterable[bytes],
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Return a ModelProto with one graph, a complete ONNX file."""
    graph = (
        b"".join(_bytes(1, part) for part in nodes)
        + _text(2, name)
        + b"".join(_bytes(5, part) for part in tensors)
        + b"".join(_bytes(11, part) for part in inputs)
        + b"".join(_bytes(12, part) for part in outputs)
    )
    return (
        _number(1, IR_VERSION)
        + _text(2, PRODUCER)
        + _bytes(7, graph)
        + _bytes(8, _text(1, "") + _number(2, OPSET))
        + b"".join(
            _bytes(14, _text(1, key) + _text(2, text)) for key, text in (metadata or {}).items()
        )
    )


def _attribute(name: str, value: Attribute) -> bytes:
    match value:
        case int():
            return _text(1, name) + _number(3, value) + _number(20, _INT)
        case str():
            return _text(1, name) + _text(4, value) + _number(20, _STRING)
        case _:
            many = b"".join(_number(8, each) for each in value)
            return _text(1, name) + many + _number(20, _INTS)


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(number)


def _text(field: int, text: str) -> bytes:
    return _bytes(field, text.encode())


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    """Return a number of 0 or more, seven bits a byte, lowest first."""
    out = bytearray()
    while number > _SEVEN_BITS:
        out.append(number & _SEVEN_BITS | _MORE)
        number >>= 7
    return bytes([*out, number])
