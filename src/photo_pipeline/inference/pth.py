"""Read the weights that torch has saved, without torch and without running anything."""

import io
import pickle
import struct
from collections import OrderedDict
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Weights = dict[str, NDArray[Any]]

LEADING_PICKLES: Final = 3
"""Magic number, protocol and the writer's system, before the weights (torch below 1.6)."""
COUNT: Final = struct.Struct("<q")
STORAGES: Final = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _Tensor(NamedTuple):
    """A view on a storage: offset and strides count numbers, not bytes."""

    storage: str
    offset: int
    size: tuple[int, ...]
    strides: tuple[int, ...]


def read_weights(data: bytes) -> Weights:
    """Return the tensors of a state dict by name.

    Raises pickle.UnpicklingError for anything that only a full unpickler could load, ValueError
    for a tensor that reaches beyond its storage.
    """
    stream = io.BytesIO(data)
    reader = [_Reader(stream) for _ in range(LEADING_PICKLES + 2)]
    for leading in reader[:LEADING_PICKLES]:
        leading.load()
    tensors: dict[str, _Tensor] = reader[-2].load()
    keys: list[str] = reader[-1].load()
    types = reader[-2].types
    storages = {key: _storage(stream, types[key]) for key in keys}
    return {name: _array(storages[tensor.storage], tensor) for name, tensor in tensors.items()}


class _Reader(pickle.Unpickler):
    """An unpickler that knows four names: it can build nothing else, and call nothing."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self.types: dict[str, np.dtype[Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case "collections", "OrderedDict":
                return OrderedDict
            case "torch._utils", "_rebuild_tensor_v2":
                return _tensor
            case "torch", str() if name in STORAGES:
                return STORAGES[name]
        raise pickle.UnpicklingError(f"not allowed: {module}.{name}")

    def persistent_load(self, pid: Any) -> str:
        _, type_, key, *_ = pid
        self.types[key] = type_
        return str(key)


def _tensor(
    storage: str, offset: int, size: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> _Tensor:
    return _Tensor(storage, offset, tuple(size), tuple(strides))


def _storage(stream: io.BytesIO, type_: np.dtype[Any]) -> NDArray[Any]:
    (count,) = COUNT.unpack(stream.read(COUNT.size))
    return np.frombuffer(stream.read(count * type_.itemsize), type_, count)


def _array(storage: NDArray[Any], tensor: _Tensor) -> NDArray[Any]:
    """Return the view that *tensor* describes; its strides may permute the axes."""
    last = tensor.offset + sum(
        (size - 1) * stride for size, stride in zip(tensor.size, tensor.strides, strict=True)
    )
    if 0 in tensor.size or not 0 <= tensor.offset <= last < len(storage):
        raise ValueError("a tensor reaches beyond its storage")
    view = np.lib.stride_tricks.as_strided(
        storage[tensor.offset :],
        tensor.size,
        [stride * storage.itemsize for stride in tensor.strides],
        writeable=False,
    )
    return np.ascontiguousarray(view)
