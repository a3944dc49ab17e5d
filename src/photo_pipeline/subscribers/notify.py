"""Webhooks: every outcome is told to every URL of PHOTO_WEBHOOK_URLS.

ask the ledger → sign → POST → note in the ledger, for each URL on its own, so that a broken
receiver neither holds up the others nor makes them hear an event again. Between an answer and
its note lies a moment in which a crash repeats the call: receivers drop repeats by
``webhook-id``.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from photo_pipeline.domain.messages import OutcomeEvent
from photo_pipeline.domain.trace import current_trace
from photo_pipeline.errors import SettingsError, WebhookFailedError, WebhookRefusedError
from photo_pipeline.storage.deliveries import Deliveries, delivery_key
from photo_pipeline.subscribers import Handle, Tools
from photo_pipeline.webhooks.sender import Send, open_sender, place
from photo_pipeline.webhooks.signing import signed_headers, signing_key

NAME: Final = "notify"

PREFETCH: Final = 20
"""Events at a time, and so calls at a time per receiver. They wait on others and cost nothing
here; even when every call runs into its time limit, 80 events a minute go on to their retry."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """Tells events to all URLs; each that has answered once is left alone."""

    urls: Sequence[str]
    key: bytes
    send: Send
    deliveries: Deliveries

    async def __call__(self, event: OutcomeEvent) -> None:
        """Tell *event* to everybody who has not heard it.

        Raises WebhookFailedError when that may succeed later for some URL, else
        WebhookRefusedError when one may not be called, and StoreUnavailableError.
        """
        keys = {delivery_key(NAME, event.event_id, url): url for url in self.urls}
        made = await self.deliveries.made(keys)
        body = event.encode()
        results = await asyncio.gather(
            *(self._tell(url, key, event, body) for key, url in keys.items() if key not in made),
            return_exceptions=True,
        )
        _raise_worst([result for result in results if result is not None])

    async def _tell(self, url: str, key: str, event: OutcomeEvent, body: bytes) -> None:
        headers = {
            "Content-Type": "application/json",
            **signed_headers(
                self.key, webhook_id=event.event_id, timestamp=int(time.time()), body=body
            ),
        }
        if trace := current_trace():
            headers["traceparent"] = trace
        started = time.monotonic()
        status = await self.send(url, body, headers)
        await self.deliveries.note(key)
        log.info(
            "webhook.delivered",
            event_id=event.event_id,
            receiver=place(url),
            status=status,
            seconds=round(time.monotonic() - started, 3),
        )


def _raise_worst(errors: Sequence[BaseException]) -> None:
    """Raise what decides about the event: whatever may heal goes before what cannot."""
    told = [e for e in errors if isinstance(e, WebhookFailedError | WebhookRefusedError)]
    for other in errors:
        if other not in told:
            raise other
    message = "; ".join(error.message for error in told)
    if any(error.retryable for error in told):
        raise WebhookFailedError(message)
    if told:
        raise WebhookRefusedError(message)


@asynccontextmanager
async def open_subscriber(tools: Tools) -> AsyncIterator[Handle]:
    """Yield the handler; without a URL it lets every event pass."""
    settings = tools.settings.notify
    if not settings.webhook_urls or settings.webhook_secret is None:
        log.info("webhooks.off", reason="PHOTO_WEBHOOK_URLS is not set")
        yield _tell_nobody
        return
    try:
        key = signing_key(settings.webhook_secret.get_secret_value())
    except ValueError as error:
        raise SettingsError(f"PHOTO_WEBHOOK_SECRET: {error}") from None
    urls = tuple(dict.fromkeys(settings.webhook_urls))
    log.info("webhooks.on", receivers=[place(url) for url in urls])
    async with open_sender(settings.webhook_allowed_networks) as send:
        yield Webhooks(urls=urls, key=key, send=send, deliveries=tools.deliveries)


async def _tell_nobody(_: OutcomeEvent) -> None:
    return
