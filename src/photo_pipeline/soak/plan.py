"""What will happen in a soak, decided beforehand from a seed; no I/O."""

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from photo_pipeline.errors import SettingsError

PHOTOS_PER_S: Final = 2.0
"""How fast photos are uploaded: about what two cores get through while everything else is
started again and again, so that there is work in hand at every fault."""
SHORTEST_S: Final = 15.0  # of a load: room for every kind of fault, and for its recovery

WORKER_EVERY_S: Final = 2.5  # a role takes about as long to be back: some are always missing
SERVER_EVERY_S: Final = 20.0  # RabbitMQ takes 3 to 15 s to be back, and then there must be work
EARLY: Final = 0.6  # of its time slot within which a fault begins

MONGO: Final = "mongo"
BROKER: Final = "broker"
WORKERS: Final = "workers"
KINDS: Final = (WORKERS, BROKER, MONGO)


class Action(StrEnum):
    """What is done to a process."""

    KILL = "kill"  #: SIGKILL, and after a while it is started again
    STALL = "stall"  #: SIGSTOP, and after a while SIGCONT
    DISCONNECT = "disconnect"  #: the broker closes every connection


_WORKER_ACTIONS: Final = (Action.KILL, Action.KILL, Action.KILL, Action.STALL)
_SERVER_ACTIONS: Final = {
    BROKER: (Action.KILL, Action.KILL, Action.STALL, Action.DISCONNECT),
    MONGO: (Action.KILL, Action.KILL, Action.STALL),
}

_WORKER_STALLS_S: Final = (1.0, 3.0, 8.0, 40.0)
"""The longest makes RabbitMQ give the photo to somebody else (three heartbeats of 10 s) before
the stalled process wakes up and goes on with it."""
_LASTING_S: Final = {
    (BROKER, Action.KILL): (0.0, 2.0, 20.0),  # the last: longer than a publisher's patience
    (BROKER, Action.STALL): (1.0, 3.0, 8.0),  # longer than a confirm may take
    (BROKER, Action.DISCONNECT): (0.0,),
    (MONGO, Action.KILL): (0.0, 2.0, 6.0),
    (MONGO, Action.STALL): (1.0, 3.0, 8.0),  # longer than an operation may take
}


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """At *at_s* seconds into the load *action* befalls *target*, which lasts *for_s* seconds.

    A server that was killed stays away that long and is then started; a worker is started by
    its supervisor.
    """

    at_s: float
    target: str
    action: Action
    for_s: float = 0.0

    def __str__(self) -> str:
        match self.action:
            case Action.KILL if self.for_s:
                return f"kill -9 {self.target}, back after {self.for_s:g} s"
            case Action.KILL:
                return f"kill -9 {self.target}"
            case Action.STALL:
                return f"stop {self.target} for {self.for_s:g} s"
            case Action.DISCONNECT:
                return f"{self.target} closes every connection"


@dataclass(frozen=True, slots=True)
class Plan:
    """The load, *photos* spread evenly over *duration_s*, and the faults in their order."""

    seed: int
    photos: int
    duration_s: float
    faults: tuple[Fault, ...]

    def upload_at_s(self, number: int) -> float:
        """Return when the photo *number* (from 0) is uploaded."""
        return number * self.duration_s / self.photos

    def lines(self) -> Iterator[str]:
        """Yield the plan for people."""
        yield f"seed {self.seed}: {self.photos} photos in {self.duration_s:g} s"
        for fault in self.faults:
            yield f"{fault.at_s:7.1f} s  {fault}"


def parse_kinds(text: str) -> frozenset[str]:
    """Return the kinds that a comma-separated list names; none is a load without faults.

    Raises SettingsError that says which are known.
    """
    kinds = frozenset(part.strip() for part in text.split(",") if part.strip())
    if unknown := kinds.difference(KINDS):
        raise SettingsError(
            f"--kill: no such kind: {', '.join(sorted(unknown))}; known: {', '.join(KINDS)}"
        )
    return kinds


def make_plan(*, photos: int, kinds: Collection[str], seed: int, workers: Sequence[str]) -> Plan:
    """Return the plan of *seed*: the same for the same arguments, on every machine.

    Every chosen kind is killed at least once, and the last fault is over when the load is.
    """
    duration_s = max(SHORTEST_S, photos / PHOTOS_PER_S)
    faults: list[Fault] = []
    # A sequence of its own for each kind: leaving one out does not change the others.
    if WORKERS in kinds:
        chance = random.Random(f"{seed} {WORKERS}")  # noqa: S311  # it is to repeat itself
        faults += _worker_faults(chance, duration_s, workers)
    for server in (BROKER, MONGO):
        if server in kinds:
            chance = random.Random(f"{seed} {server}")  # noqa: S311  # likewise
            faults += _server_faults(chance, duration_s, server)
    return Plan(seed, photos, duration_s, tuple(sorted(faults)))


def _worker_faults(
    chance: random.Random, duration_s: float, workers: Sequence[str]
) -> Iterator[Fault]:
    for at_s in _times(chance, duration_s, WORKER_EVERY_S):
        target, action = chance.choice(workers), chance.choice(_WORKER_ACTIONS)
        for_s = _lasting(chance, _WORKER_STALLS_S, duration_s - at_s)
        yield Fault(at_s, target, action, for_s if action is Action.STALL else 0.0)


def _server_faults(chance: random.Random, duration_s: float, server: str) -> Iterator[Fault]:
    for number, at_s in enumerate(_times(chance, duration_s, SERVER_EVERY_S)):
        action = chance.choice(_SERVER_ACTIONS[server]) if number else Action.KILL
        lasting = _LASTING_S[server, action]
        yield Fault(at_s, server, action, _lasting(chance, lasting, duration_s - at_s))


def _times(chance: random.Random, duration_s: float, every_s: float) -> Iterator[float]:
    count = max(1, int(duration_s / every_s))
    slot_s = duration_s / count
    for number in range(count):
        yield round((number + chance.uniform(0, EARLY)) * slot_s, 1)


def _lasting(chance: random.Random, choices: Sequence[float], left_s: float) -> float:
    fitting = [for_s for for_s in choices if for_s <= left_s]
    return chance.choice(fitting or [choices[0]])
