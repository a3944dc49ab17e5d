"""The subscriber of the README, run as printed there, by a user who has only aio-pika."""

import asyncio
import os
import re
import sqlite3
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import aio_pika
from aio_pika.exceptions import ChannelClosed

from photo_pipeline.embedded.launcher import EmbeddedServers
from support.outcomes import watching_outcomes
from support.processes import ROOT, SAMPLES, Fleet, Space
from support.waiting import until

NAMES = ("cat-small.jpg", "coffee-gps.jpg", "galaxies.webp", "fig-cutout-alpha.png")


class Program:
    """The program, and what it has printed over all its lives."""

    def __init__(self, folder: Path, space: Space) -> None:
        readme = (ROOT / "README.md").read_text()
        part = readme.split("## Your own subscriber")[1].split("\n## ")[0]
        (source,) = re.findall(r"```python\n(.*?)```", part, flags=re.DOTALL)
        assert "photo_pipeline" not in source
        self._folder = folder
        self._space = space
        (folder / "my_subscriber.py").write_text(source)
        self.database = folder / "done.db"
        self.out = folder / "out"
        self.err = folder / "err"
        self.out.touch()

    @property
    def lines(self) -> list[str]:
        return self.out.read_text().splitlines()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Process]:
        """Run it; at the end it is killed, as a power cut would."""
        with self.out.open("ab") as out, self.err.open("ab") as err:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "my_subscriber.py"),
                cwd=self._folder,
                env={
                    **{k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
                    **self._space.environment,
                },
                stdout=out,
                stderr=err,
            )
        try:
            await until(self.listening)
            yield process
            assert process.returncode is None, self.err.read_text()
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def listening(self) -> bool:
        """Whether its queue is there and somebody listens to it."""
        name = f"{self._space.environment['PHOTO_TOPOLOGY_PREFIX']}my-subscriber"
        async with await aio_pika.connect(self._space.environment["PHOTO_AMQP_URL"]) as connection:
            channel = await connection.channel()
            try:
                queue = await channel.declare_queue(name, passive=True)
            except ChannelClosed:
                return False
            return queue.declaration_result.consumer_count == 1

    async def until_printed(self, lines: list[str]) -> None:
        """Wait for as many lines, and compare."""

        async def enough() -> bool:
            return len(self.lines) >= len(lines)

        await until(enough)
        assert self.lines == lines

    async def until_complained(self, of: str) -> None:
        """Wait until it has said why it listens anew."""

        async def complained() -> bool:
            return any("again" in x and of in x for x in self.err.read_text().splitlines())

        await until(complained)


async def test_it_hears_every_outcome_once(
    fleet: Fleet, space: Space, servers: EmbeddedServers, tmp_path: Path
) -> None:
    program = Program(tmp_path, space)
    expected = [f"photo.done {name}" for name in NAMES]
    async with watching_outcomes(space) as watcher, program.running():
        api = await fleet.start_api("api,workers")
        await fleet.upload(api, SAMPLES / NAMES[0])
        await program.until_printed(expected[:1])
        events = await watcher.told(1)
        await servers.rabbitmq.rabbitmqctl("close_all_connections", "a test closes them")
        await program.until_complained("")
        await until(program.listening)
    async with watching_outcomes(space) as watcher:
        async with program.running():
            await fleet.upload(api, SAMPLES / NAMES[1])
            await program.until_printed(expected[:2])
            events += await watcher.told(1)
        # What comes while it is down waits; what it has had already comes to nothing.
        await watcher.tell(*(events * 3))
        await fleet.upload(api, SAMPLES / NAMES[2])
        await watcher.told(len(events) * 3 + 1)
        async with program.running():
            await program.until_printed(expected[:3])
            await watcher.tell(*(events * 3))
            await fleet.upload(api, SAMPLES / NAMES[3])
            await program.until_printed(expected)


async def test_an_event_whose_work_fails_comes_again(
    fleet: Fleet, space: Space, tmp_path: Path
) -> None:
    program = Program(tmp_path, space)
    async with program.running():
        api = await fleet.start_api("api,workers")
        with closing(sqlite3.connect(program.database)) as somebody_else:
            somebody_else.execute("BEGIN EXCLUSIVE")
            photo_id = await fleet.upload(api, SAMPLES / NAMES[0])
            await program.until_complained("locked")
            assert program.lines == []
        await program.until_printed([f"photo.done {NAMES[0]}"])
    with closing(sqlite3.connect(program.database)) as done:
        ((event_id,),) = done.execute("SELECT id FROM events")
    assert event_id.startswith(f"{photo_id}:")
