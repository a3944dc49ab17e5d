"""Taking settled cases out of the queues of dead letters."""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

import structlog
from aio_pika.abc import AbstractChannel

from photo_pipeline.broker.connection import connect, translated
from photo_pipeline.broker.topology import Names

log = structlog.get_logger()

LOOKED_AT: Final = 5000
"""Messages of a queue that are looked at for those to take out: about as many seconds' work as
a person waits. What lies deeper stays there, and is found when those before it have gone."""

TIMEOUT_S: Final = 15.0  # for a scan; what it holds then goes back
CONNECT_S: Final = 5.0

Identify = Callable[[str, str | None, bytes], str]
"""Return the id of a dead letter by its key, its message id and its body."""


class DeadQueues:
    """The queues of dead letters, as one process sees them."""

    def __init__(self, url: str, names: Names, identify: Identify) -> None:
        self._url = url
        self._names = names
        self._identify = identify
        # A scan holds what it looks at: two at a time would not see each other's messages.
        self._one_at_a_time = asyncio.Lock()

    async def take_out(self, key: str, ids: Collection[str]) -> int:
        """Remove the dead letters *ids* from the queue of *key*; return how many were found.

        Every other message stays: nothing but a match is acknowledged, and what is not goes
        back to its place when the channel closes. Raises BrokerUnavailableError.
        """
        async with self._one_at_a_time:
            with translated():
                async with (
                    asyncio.timeout(TIMEOUT_S),
                    await connect(self._url, CONNECT_S) as connection,
                ):
                    channel = await connection.channel(publisher_confirms=False)
                    found = await self._scan(channel, key, set(ids))
        log.info("dead_letters.taken_out", key=key, wanted=len(ids), found=found)
        return found

    async def _scan(self, channel: AbstractChannel, key: str, missing: set[str]) -> int:
        queue = await channel.get_queue(self._names.dead_queue(key), ensure=False)
        found = 0
        for _ in range(LOOKED_AT):
            if not missing or (message := await queue.get(fail=False)) is None:
                break
            found_id = self._identify(key, message.message_id, message.body)
            if found_id in missing:
                await message.ack()
                missing.discard(found_id)
                found += 1
        return found
