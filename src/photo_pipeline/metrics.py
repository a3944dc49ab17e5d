"""The metrics of one process, in Prometheus' terms (base units, counters end in _total)."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

_STAGE_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_REQUEST_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Every metric of the process, on a registry of its own: tests run several side by side."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.uploads = Counter(
            "photo_uploads",
            "Uploads by result: accepted, replayed, or the code of the refusal.",
            ["result"],
            registry=self.registry,
        )
        self.stage_attempts = Counter(
            "photo_stage_attempts",
            "Attempts of a stage by result: done, reused, repeated, obsolete, retrying, postponed, "
            "failed, unhandled, returned.",
            ["stage", "result"],
            registry=self.registry,
        )
        self.stage_seconds = Histogram(
            "photo_stage_seconds",
            "Seconds from the start of an attempt until its result is recorded.",
            ["stage"],
            buckets=_STAGE_BUCKETS,
            registry=self.registry,
        )
        self.stage_running = Gauge(
            "photo_stage_running",
            "Photos that this process has in work.",
            ["stage"],
            registry=self.registry,
        )
        self.outcomes = Counter(
            "photo_outcomes",
            "Photos that reached their outcome, as seen by the monitor subscriber.",
            ["status"],
            registry=self.registry,
        )
        self.outcome_seconds = Histogram(
            "photo_outcome_seconds",
            "Seconds from the beginning of a run to its outcome, as seen by the monitor.",
            ["status"],
            buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
            registry=self.registry,
        )
        self.subscriber_events = Counter(
            "photo_subscriber_events",
            "Outcome events by result: handled, repeated, retrying, failed.",
            ["subscriber", "result"],
            registry=self.registry,
        )
        self.archived_files = Counter(
            "photo_archived_files",
            "Files copied to the archive: original, rendition, status.",
            ["kind"],
            registry=self.registry,
        )
        self.archived_bytes = Counter(
            "photo_archived_bytes",
            "Bytes copied to the archive, by kind of file.",
            ["kind"],
            registry=self.registry,
        )
        self.dead_letters = Counter(
            "photo_dead_letters",
            "Dead letters filed, by stage (or queue of a subscriber) and code.",
            ["stage", "code"],
            registry=self.registry,
        )
        self.reconciled = Counter(
            "photo_reconciled",
            "What reconcile has put right: dispatch, erase, lost (message), orphan, stale (file).",
            ["kind"],
            registry=self.registry,
        )
        self.http_requests = Counter(
            "photo_http_requests",
            "HTTP requests.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.http_seconds = Histogram(
            "photo_http_request_seconds",
            "Seconds until the answer was complete; streams not included.",
            ["method", "route"],
            buckets=_REQUEST_BUCKETS,
            registry=self.registry,
        )
