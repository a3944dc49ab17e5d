"""The child process in which a stage touches foreign bytes.

It speaks frames on its standard input and output and opens nothing else: no broker, no
database, no file. JSON and raw bytes only, never pickle: whoever takes over this process
must not get a way into its parent.
"""

import argparse
import ctypes
import json
import os
import resource
import signal
import struct
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from photo_pipeline.domain.origin import origin_of
from photo_pipeline.domain.receipt import Receipt
from photo_pipeline.domain.stage import Output, Picture, Stage
from photo_pipeline.errors import MemoryLimitError, PhotoPipelineError, UnexpectedError
from photo_pipeline.imaging.opening import limit_pixels
from photo_pipeline.inference.object_model import use_object_model
from photo_pipeline.stages import load

LENGTH: Final = struct.Struct("!I")
_PR_SET_PDEATHSIG: Final = 1  # prctl(2)


def main() -> None:
    """Serve one stage until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--stage", required=True)
    parser.add_argument("--memory-bytes", type=int, required=True)
    parser.add_argument("--max-pixels", type=int, required=True)
    parser.add_argument("--object-model", type=Path)
    parser.add_argument("--object-labels", type=Path)
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Both may be sent to a whole process or control group; stopping is the parent's decision.
        signal.signal(number, signal.SIG_IGN)
    requests, replies = _take_pipes()
    _confine(arguments.memory_bytes)
    limit_pixels(arguments.max_pixels)
    use_object_model(arguments.object_model, arguments.object_labels)
    stage = load(arguments.stage)
    stage.warm()
    write_frame(replies, {"ready": True}, [])
    while (request := read_frame(requests)) is not None:
        header, blobs = request
        reply, data = _answer(stage, header, blobs)
        write_frame(replies, reply, data)


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Move the pipes away from 0 and 1, so that a stray print cannot break a frame."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    return requests, replies


def _confine(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # A killed parent cannot stop its child, and a hanging decoder would stay for ever.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _answer(
    stage: Stage[Any], header: Mapping[str, Any], blobs: list[bytes]
) -> tuple[dict[str, Any], list[bytes]]:
    try:
        parameters = stage.parameters.model_validate(header["parameters"])
        given = dict(zip(header["inputs"], blobs, strict=False))
        if "outputs" not in header:
            return encode_output(stage.transform(given, parameters))
        written = dict(zip(header["outputs"], blobs[len(given) :], strict=True))
        return encode_receipts(stage, given, written, parameters), []
    except MemoryError:
        return _refusal(MemoryLimitError()), []
    except PhotoPipelineError as error:
        return _refusal(error, raised=error), []
    except Exception as error:  # noqa: BLE001  # told to the parent, which judges it
        unexpected = UnexpectedError(f"{type(error).__name__}: {error}")
        return _refusal(unexpected, raised=error), []


def _refusal(error: PhotoPipelineError, raised: Exception | None = None) -> dict[str, Any]:
    origin = origin_of(raised or error)
    return {
        "error": {
            "code": error.code,
            "message": error.message,
            "traceback": "".join(traceback.format_exception(raised)) if raised else "",
            "type": origin.type,
            "frames": origin.frames,
        }
    }


def encode_output(output: Output) -> tuple[dict[str, Any], list[bytes]]:
    """Return *output* as a frame's header and blobs."""
    pictures = [
        {
            "name": p.name,
            "width": p.width,
            "height": p.height,
            "format": p.format,
            "receipt": p.receipt.model_dump(mode="json") if p.receipt else None,
        }
        for p in output.pictures
    ]
    header = {"pictures": pictures, "facts": output.facts, "timings_ms": output.timings_ms}
    return header, [p.data for p in output.pictures]


def decode_output(header: Mapping[str, Any], blobs: list[bytes]) -> Output:
    """Return the output that a frame carries."""
    pictures = tuple(
        Picture(data=data, **{**picture, "receipt": _receipt(picture["receipt"])})
        for picture, data in zip(header["pictures"], blobs, strict=True)
    )
    return Output(pictures=pictures, facts=header["facts"], timings_ms=header["timings_ms"])


def encode_receipts(
    stage: Stage[Any],
    inputs: Mapping[str, bytes],
    outputs: Mapping[str, bytes],
    parameters: Any,
) -> dict[str, Any]:
    """Return the header of a frame with what *stage* finds in renditions that it once wrote."""
    if stage.check is None:
        raise UnexpectedError("this stage cannot check what it has made")
    found = stage.check(inputs, outputs, parameters)
    return {"receipts": {name: one.model_dump(mode="json") for name, one in found.items()}}


def decode_receipts(header: Mapping[str, Any]) -> dict[str, Receipt]:
    """Return the receipts that a frame's header carries."""
    return {name: Receipt.model_validate(told) for name, told in header["receipts"].items()}


def _receipt(told: Mapping[str, Any] | None) -> Receipt | None:
    return None if told is None else Receipt.model_validate(told)


def frame(header: Mapping[str, Any], blobs: list[bytes]) -> list[bytes]:
    """Return the parts of a frame: length, JSON header with the blobs' sizes, the blobs."""
    head = json.dumps({**header, "sizes": [len(blob) for blob in blobs]}).encode()
    return [LENGTH.pack(len(head)), head, *blobs]


def write_frame(stream: BinaryIO, header: Mapping[str, Any], blobs: list[bytes]) -> None:
    """Write one frame and flush it."""
    stream.writelines(frame(header, blobs))
    stream.flush()


def read_frame(stream: BinaryIO) -> tuple[Mapping[str, Any], list[bytes]] | None:
    """Return the next frame, or None at the end of the stream."""
    read: Callable[[int], bytes] = stream.read
    if len(length := read(LENGTH.size)) < LENGTH.size:
        return None
    header = json.loads(read(LENGTH.unpack(length)[0]))
    return header, [read(size) for size in header["sizes"]]


if __name__ == "__main__":
    main()
