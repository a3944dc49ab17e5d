"""Alerts and dashboard name metrics, labels and values that exist, and are scraped."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from prometheus_client import Counter, Gauge, Histogram

from photo_pipeline.api.routes import routes
from photo_pipeline.broker.topology import Names, build_topology
from photo_pipeline.domain.pipeline import PIPELINE, SUBSCRIBERS
from photo_pipeline.errors import (
    BlobUnavailableError,
    OverloadedError,
    StorageFullError,
    StoreUnavailableError,
    error_class,
)
from photo_pipeline.metrics import Metrics
from photo_pipeline.roles import ROLES
from support.manifests import COMPONENT, NAME, PIPELINE_POD, PRODUCTION, named, roles
from support.promql import Matcher, groupings, selectors

# Of RabbitMQ's own endpoints, as its documentation names them: queues on /metrics/detailed (the
# families queue_coarse_metrics and queue_consumer_count), the rest on /metrics.
RABBITMQ: Final = {
    "rabbitmq_detailed_queue_messages": {"vhost", "queue"},
    "rabbitmq_detailed_queue_messages_ready": {"vhost", "queue"},
    "rabbitmq_detailed_queue_messages_unacked": {"vhost", "queue"},
    "rabbitmq_detailed_queue_consumers": {"vhost", "queue"},
    "rabbitmq_process_resident_memory_bytes": set(),
    "rabbitmq_resident_memory_limit_bytes": set(),
    "rabbitmq_disk_space_available_bytes": set(),
    "rabbitmq_disk_space_available_limit_bytes": set(),
}
# What Prometheus and its operator add; `role` is the PodMonitor's.
ADDED: Final = {"role", "pod", "namespace", "job", "instance"}
UPLOADS_REFUSED: Final = (
    *(BlobUnavailableError, OverloadedError),
    *(StorageFullError, StoreUnavailableError),
)
SEVERITIES: Final = {"critical", "warning"}


def _known() -> dict[str, set[str]]:
    """Return the label names of every series by its name."""
    metrics = Metrics()
    known = {name: set(labels) for name, labels in RABBITMQ.items()} | {"up": set()}
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            labels = set(metric._labelnames)
            match metric:
                case Counter():
                    known[f"{metric._name}_total"] = labels
                case Histogram():
                    known |= {f"{metric._name}_{part}": labels for part in ("count", "sum")}
                    known[f"{metric._name}_bucket"] = labels | {"le"}
                case Gauge():
                    known[metric._name] = labels
    # Those of the process itself have no labels.
    samples = {s.name for family in metrics.registry.collect() for s in family.samples}
    return {name: set() for name in samples if name.startswith("process_")} | known


def _rules() -> list[Any]:
    groups = named(PRODUCTION, "PrometheusRule", "photo-pipeline")["spec"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _dashboard() -> Any:
    data = named(PRODUCTION, "ConfigMap", "photo-pipeline-dashboard")["data"]
    return json.loads(data["photo-pipeline.json"])


def _expressions() -> dict[str, str]:
    panels = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in _dashboard()["panels"]
        for target in panel["targets"]
    }
    return {rule["alert"]: rule["expr"] for rule in _rules()} | panels


def _matchers(label: str) -> Iterator[tuple[str, Matcher]]:
    for expression in _expressions().values():
        for selector in selectors(expression):
            for matcher in selector.matchers:
                if matcher.label == label:
                    yield selector.metric, matcher


def test_metrics_and_labels_exist() -> None:
    known = _known()
    used = set()
    for where, expression in _expressions().items():
        found = list(selectors(expression))
        assert found, where
        labels = set().union(*(known[s.metric] for s in found)) | ADDED
        for selector in found:
            own = {matcher.label for matcher in selector.matchers}
            assert own <= known[selector.metric] | ADDED, (where, selector)
            used.add(selector.metric)
        # "queue" is what label_replace makes of "stage", to join the two.
        assert groupings(expression) <= labels | {"queue"}, where
    assert len(used) > 15


@pytest.mark.parametrize("label", ["queue", "stage", "route", "result", "status", "role", "method"])
def test_values_that_are_selected_exist(label: str) -> None:
    topology = build_topology(Names(), retry_delays_s=(5, 30, 120, 600))
    told = Metrics().stage_attempts._documentation
    existing = {
        "queue": {queue.name for queue in topology.queues},
        "stage": set(PIPELINE),
        "route": {route.path for route in routes(Metrics())},
        "status": {"done", "failed", "200", "404", "500", "503"},
        "role": set(ROLES),
        "method": {"GET", "POST"},
        "result": {"accepted", *(each.code for each in UPLOADS_REFUSED)}
        | set(re.findall(r"\w+", told.partition(": ")[2])),
    }[label]
    found = list(_matchers(label))
    assert found
    for metric, matcher in found:
        alternatives = matcher.value.split("|") if "~" in matcher.operator else [matcher.value]
        for alternative in alternatives:
            one = Matcher(label, "=~", alternative)
            assert any(one.matches(value) for value in existing), (metric, alternative)


def test_alerts_on_work_queues_see_every_stage_and_no_dead_letters() -> None:
    queues = {rule["alert"]: next(selectors(rule["expr"])) for rule in _rules()}
    for alert in ("PhotoBacklog", "PhotoQueueStands", "PhotoNoConsumers"):
        conditions = [m for m in queues[alert].matchers if m.label == "queue"]
        for stage in PIPELINE:
            assert all(c.matches(Names().stage_queue(stage)) for c in conditions), (alert, stage)
            assert not all(c.matches(Names().dead_queue(stage)) for c in conditions)
    dead = [m for m in queues["PhotoDeadLetters"].matchers if m.label == "queue"]
    for key in (*PIPELINE, *(Names().subscriber_key(s) for s in SUBSCRIBERS)):
        assert all(m.matches(Names().dead_queue(key)) for m in dead)
    events = [m for m in queues["PhotoNoConsumers"].matchers if m.label == "queue"]
    for subscriber in SUBSCRIBERS:
        assert all(m.matches(Names().subscriber_queue(subscriber)) for m in events)


def test_refusals_with_503_are_those_of_the_upload() -> None:
    (rule,) = (rule for rule in _rules() if rule["alert"] == "PhotoUploadsRefused")
    (selector,) = selectors(rule["expr"])
    (matcher,) = selector.matchers
    for code in matcher.value.split("|"):
        cls = error_class(code)
        assert cls is not None
        assert cls.http_status == 503


def test_every_alert_says_what_to_do() -> None:
    names = [rule["alert"] for rule in _rules()]
    assert len(names) == len(set(names)) >= 10
    for rule in _rules():
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in SEVERITIES
        assert re.fullmatch(r"\d+m", rule["for"])
        assert set(rule["annotations"]) == {"summary", "description", "action"}
        assert rule["expr"].count("(") == rule["expr"].count(")")


def test_the_dashboard_is_whole() -> None:
    dashboard = _dashboard()
    panels = dashboard["panels"]
    assert (
        len({panel["id"] for panel in panels}) == len({p["title"] for p in panels}) == len(panels)
    )
    assert {v["name"] for v in dashboard["templating"]["list"]} == {"datasource"}
    corners = {(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels}
    assert len(corners) == len(panels)
    for panel in panels:
        assert panel["datasource"]["uid"] == "${datasource}"
    labels = named(PRODUCTION, "ConfigMap", "photo-pipeline-dashboard")["metadata"]["labels"]
    assert labels["grafana_dashboard"] == "1"


def test_every_role_is_scraped() -> None:
    spec = named(PRODUCTION, "PodMonitor", "photo-pipeline")["spec"]
    assert spec["selector"]["matchLabels"] == PIPELINE_POD
    (endpoint,) = spec["podMetricsEndpoints"]
    assert endpoint["path"] == "/metrics"
    for workload in roles(PRODUCTION).values():
        assert endpoint["port"] in {p["name"] for p in workload.main["ports"]}
    (relabel,) = endpoint["relabelings"]
    label = re.sub(r"[./-]", "_", COMPONENT)
    assert relabel == {
        "sourceLabels": [f"__meta_kubernetes_pod_label_{label}"],
        "targetLabel": "role",
    }


def test_rabbitmq_is_scraped_with_the_families_that_are_used() -> None:
    spec = named(PRODUCTION, "ServiceMonitor", "rabbitmq")["spec"]
    assert spec["selector"]["matchLabels"] == {NAME: "rabbitmq"}
    paths = {e["path"]: e.get("params", {}).get("family") for e in spec["endpoints"]}
    assert paths == {
        "/metrics": None,
        "/metrics/detailed": ["queue_coarse_metrics", "queue_consumer_count"],
    }
    assert {e["port"] for e in spec["endpoints"]} == {"prometheus"}
