"""A deliberately broken pipeline, for the proof of the proof: stages acknowledge first.

Python runs this file at its start wherever its folder is on PYTHONPATH; nothing else knows it.
"""

import asyncio
import sys

if "--role" in sys.orig_argv:
    from photo_pipeline.worker.consumer import StageConsumer
    from photo_pipeline.worker.recorder import Job

    forward = StageConsumer._forward
    later: set[asyncio.Task[None]] = set()

    async def publish_later(self: StageConsumer, job: Job) -> None:
        async def publish() -> None:
            await asyncio.sleep(2)  # makes a rare loss a certain one
            await forward(self, job)

        task = asyncio.create_task(publish())
        later.add(task)
        task.add_done_callback(later.discard)

    StageConsumer._forward = publish_later  # type: ignore[method-assign]
