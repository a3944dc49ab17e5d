"""The registry: what a photo goes through, in this order, and who listens to its outcome.

A table of names, not of imported objects: the API, the topology and the command line must
know the names without importing Pillow or a model. Each stage name is a module in
``stages/``, each subscriber name a module in ``subscribers/``. Role, queues, dead letters,
status slot, forwarding, retry and metrics follow from the name.
"""

from typing import Final

PIPELINE: Final[tuple[str, ...]] = (
    "resize",
    "watermark",
    "detect",
)

SUBSCRIBERS: Final[tuple[str, ...]] = (
    "notify",
    "archive",
    "monitor",
)
