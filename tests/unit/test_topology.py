"""The whole topology, printed: whoever changes it sees here what changes on the broker."""

from photo_pipeline.broker.topology import Names, Topology, build_topology
from photo_pipeline.domain.pipeline import PIPELINE, SUBSCRIBERS


def _topology(prefix: str = "") -> Topology:
    return build_topology(
        Names(prefix), stages=PIPELINE, subscribers=SUBSCRIBERS, retry_delays_s=(5, 30, 120, 600)
    )


SUBSCRIBER_KEYS = tuple(f"processed_images.{name}" for name in ("notify", "archive", "monitor"))
SAFE = {
    "x-queue-type": "quorum",
    "x-overflow": "reject-publish",
    "x-dead-letter-strategy": "at-least-once",
}


def _work(key: str) -> dict[str, object]:
    return {
        **SAFE,
        "x-delivery-limit": 20,
        "x-dead-letter-exchange": "photos.dead",
        "x-dead-letter-routing-key": key,
    }


def test_exchanges() -> None:
    assert {e.name: e.kind for e in _topology().exchanges} == {
        "photos": "direct",
        "photos.dead": "direct",
        "processed_images": "fanout",
        "photo_events": "topic",
        "photos.retry.5": "fanout",
        "photos.retry.30": "fanout",
        "photos.retry.120": "fanout",
        "photos.retry.600": "fanout",
    }


def test_queues() -> None:
    dead = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}
    assert {q.name: dict(q.arguments) for q in _topology().queues} == {
        "resize": _work("resize"),
        "watermark": _work("watermark"),
        "detect": _work("detect"),
        **{key: _work(key) for key in SUBSCRIBER_KEYS},
        **{f"{key}.dead": dead for key in (*PIPELINE, *SUBSCRIBER_KEYS)},
        "photos.dead.files": dead,
        **{
            f"photos.retry.{delay}": {
                **SAFE,
                "x-delivery-limit": 1_000_000,
                "x-message-ttl": delay * 1000,
                "x-dead-letter-exchange": "photos",
            }
            for delay in (5, 30, 120, 600)
        },
    }


def test_bindings() -> None:
    assert {
        q.name: [(b.exchange, b.key) for b in q.bindings]
        for q in _topology().queues
        if not q.name.startswith("photos.retry")
    } == {
        "resize": [("photos", "resize")],
        "watermark": [("photos", "watermark")],
        "detect": [("photos", "detect")],
        **{key: [("processed_images", ""), ("photos", key)] for key in SUBSCRIBER_KEYS},
        "resize.dead": [("photos.dead", "resize")],
        "watermark.dead": [("photos.dead", "watermark")],
        "detect.dead": [("photos.dead", "detect")],
        **{f"{key}.dead": [("photos.dead", key)] for key in SUBSCRIBER_KEYS},
        "photos.dead.files": [("photos.dead", key) for key in (*PIPELINE, *SUBSCRIBER_KEYS)],
    }


def test_a_delay_keeps_the_routing_key_so_that_it_serves_every_stage() -> None:
    delays = [q for q in _topology().queues if q.name.startswith("photos.retry")]
    assert len(delays) == 4
    assert all("x-dead-letter-routing-key" not in q.arguments for q in delays)


def test_every_dead_letter_target_is_declared_before_what_leads_to_it() -> None:
    topology = _topology()
    seen: set[tuple[str, str]] = set()
    exchanges = {e.name for e in topology.exchanges}
    for queue in topology.queues:
        target = queue.arguments.get("x-dead-letter-exchange")
        assert target is None or target in exchanges
        if target == "photos.dead":
            assert (target, queue.arguments["x-dead-letter-routing-key"]) in seen
        seen |= {(b.exchange, b.key) for b in queue.bindings}


def test_every_queue_says_its_delivery_limit_itself() -> None:
    assert all(q.arguments["x-delivery-limit"] > 0 for q in _topology().queues)


def test_a_prefix_keeps_pipelines_apart() -> None:
    plain, prefixed = _topology(), _topology("test-1.")
    for before, after in zip(plain.queues, prefixed.queues, strict=True):
        assert after.name == f"test-1.{before.name}"
    names = {e.name for e in plain.exchanges} & {e.name for e in prefixed.exchanges}
    assert not names
