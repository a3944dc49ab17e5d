"""Asking a worker a question and waiting for its answer: a trial of a dead letter."""

import asyncio
from typing import Final

from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import PublishError

from photo_pipeline.broker.connection import CONNECT_TIMEOUT_S, connect, translated
from photo_pipeline.broker.publisher import CONFIRM_TIMEOUT_S, as_message
from photo_pipeline.broker.topology import Names
from photo_pipeline.domain.messages import TrialAnswer, TrialMessage
from photo_pipeline.domain.photo import utc_now
from photo_pipeline.errors import MalformedMessageError, TrialUnansweredError

_ANSWERS: Final = 1  # the first one counts


async def ask(url: str, names: Names, message: TrialMessage, traceparent: str) -> TrialAnswer:
    """Send *message* to a worker of its stage and return the answer.

    On a connection of its own, to which the queue for the answer is bound: a person asks, seldom.
    Raises TrialUnansweredError if none comes in time, and BrokerUnavailableError.
    """
    with translated():
        async with await connect(url, CONNECT_TIMEOUT_S) as connection:
            channel = await connection.channel(on_return_raises=True)
            answers: asyncio.Queue[bytes] = asyncio.Queue(_ANSWERS)

            async def note(answer: AbstractIncomingMessage) -> None:
                if not answers.full():
                    answers.put_nowait(answer.body)

            replies = await channel.declare_queue(exclusive=True, auto_delete=True)
            await replies.consume(note, no_ack=True)
            sent = as_message(
                message.encode(),
                correlation_id=message.photo_id,
                headers={"traceparent": traceparent},
                reply_to=replies.name,
            )
            exchange = await channel.get_exchange(names.work, ensure=False)
            try:
                await exchange.publish(sent, message.stage, timeout=CONFIRM_TIMEOUT_S)
            except PublishError as error:
                raise TrialUnansweredError(f"nobody works at {message.stage}") from error
            left_s = (message.answer_before - utc_now()).total_seconds()
            return await _first(answers, message.stage, left_s)


async def _first(answers: asyncio.Queue[bytes], stage: str, left_s: float) -> TrialAnswer:
    try:
        async with asyncio.timeout(left_s):
            return TrialAnswer.decode(await answers.get())
    except TimeoutError:
        raise TrialUnansweredError(f"no worker of {stage} answered within {left_s:.0f} s") from None
    except MalformedMessageError as error:
        raise TrialUnansweredError(f"the answer of {stage} cannot be read") from error
