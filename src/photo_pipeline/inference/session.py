"""Open a model for computing on the CPU, in the calling thread only."""

import os
from collections.abc import Mapping
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

NO_TELEMETRY: Final = {"ORT_DISABLE_TELEMETRY": "1"}
"""From 1.29 on, onnxruntime's own builds for Linux and macOS tell Microsoft of every process and
model, and keep an identifier of the user in the home folder, unless this is in the environment
before the import. Its function ``disable_telemetry_events`` comes too late for the first report.
"""
ERRORS_ONLY: Final = 3
"""Severity from which onnxruntime logs: what it warns of is nothing that an operator can mend."""
PROVIDERS: Final = ("CPUExecutionProvider",)
NO_MEMORY: Final = ("bad_alloc", "bad allocation", "Failed to allocate memory")
"""By which onnxruntime's own errors tell that the limit of the address space was met."""


class Session(Protocol):
    """As much of ``onnxruntime.InferenceSession`` as is used: it has no types of its own."""

    def run(self, names: None, inputs: Mapping[str, Array]) -> list[Array]:
        """Return every output."""

    def get_inputs(self) -> list[Any]:
        """Return what the model wants, each with ``name`` and ``shape``."""

    def get_outputs(self) -> list[Any]:
        """Return what the model gives, each with ``name`` and ``shape``."""

    def get_modelmeta(self) -> Any:
        """Return the model's own words, as ``custom_metadata_map``."""


def open_session(model: bytes, *, arena: bool = True) -> Session:
    """Return *model* (ONNX) ready to run.

    One thread: a second one costs twice the CPU time on small models, and a machine is filled
    by photos side by side. Without *arena* memory goes back after each run: for inputs of
    changing shapes, of which an arena would keep the largest of each kind for good.
    """
    os.environ.update(NO_TELEMETRY)
    import onnxruntime  # noqa: PLC0415  # an extra: the stage runs without it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    options.enable_cpu_mem_arena = options.enable_mem_pattern = arena
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    session: Session = onnxruntime.InferenceSession(model, options, providers=list(PROVIDERS))
    return session


def run(session: Session, inputs: Array) -> list[Array]:
    """Return all outputs for the only input; MemoryError if there is not the memory for them."""
    try:
        return session.run(None, {session.get_inputs()[0].name: inputs})
    except RuntimeError as error:
        if any(words in str(error) for words in NO_MEMORY):
            raise MemoryError from error
        raise
