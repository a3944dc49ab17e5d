"""Ports for role processes, which do not draw again when another program is quicker."""

import os
import random
from collections.abc import Iterator

from photo_pipeline.embedded.ports import is_free

FIRST_PORT = 10_000  # below those of private servers and of outgoing connections
PORTS = 1000  # of each process of the run: no two of them draw the same
PROCESSES = 10
WORKER = "PYTEST_XDIST_WORKER"  # gw0, gw1 … where tests run side by side


def own_ports() -> Iterator[int]:
    """Yield each port of this process of the run, in an order of chance, that is free by then."""
    first = FIRST_PORT + int(os.environ.get(WORKER, "gw0").removeprefix("gw")) % PROCESSES * PORTS
    return filter(is_free, random.sample(range(first, first + PORTS), PORTS))
