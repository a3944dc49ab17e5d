"""What scales and what keeps replicas: targets exist, numbers fit, queues are the code's."""

import re
from typing import Final

import pytest

from photo_pipeline.broker.topology import Names
from photo_pipeline.domain.pipeline import PIPELINE
from support.manifests import (
    DEPLOY,
    OVERLAYS,
    PRODUCTION,
    SINGLE_NODE,
    named,
    of_kind,
    render,
    roles,
)

# What KEDA's documentation names for the trigger "rabbitmq"; its schema leaves it open.
KEDA_METADATA: Final = frozenset(
    {
        *("activationValue", "excludeUnacknowledged", "host", "hostFromEnv", "mode", "operation"),
        *("pageSize", "passwordFromEnv", "protocol", "queueName", "timeout", "unsafeSsl"),
        *("useRegex", "usernameFromEnv", "value", "vhostName"),
    }
)


def test_every_stage_scales_with_its_queue() -> None:
    scaled = of_kind(PRODUCTION, "ScaledObject")
    assert {s["metadata"]["name"] for s in scaled} == set(PIPELINE)
    for thing in scaled:
        name, spec = thing["metadata"]["name"], thing["spec"]
        assert spec["scaleTargetRef"] == {"name": name}
        assert name in roles(PRODUCTION)
        (trigger,) = spec["triggers"]
        assert trigger["type"] == "rabbitmq"
        assert set(trigger["metadata"]) <= KEDA_METADATA
        assert trigger["metadata"]["queueName"] == Names().stage_queue(name)
        # By AMQP it can only be asked for a length, not for a rate.
        assert trigger["metadata"]["protocol"] == "amqp"
        assert trigger["metadata"]["mode"] == "QueueLength"
        assert int(trigger["metadata"]["value"]) > 0


def test_keda_connects_as_the_roles_do() -> None:
    used = {
        trigger["authenticationRef"]["name"]
        for thing in of_kind(PRODUCTION, "ScaledObject")
        for trigger in thing["spec"]["triggers"]
    }
    (name,) = used
    (target,) = named(PRODUCTION, "TriggerAuthentication", name)["spec"]["secretTargetRef"]
    assert target["parameter"] == "host"
    for workload in roles(PRODUCTION).values():
        (volume,) = (v for v in workload.pod["volumes"] if v["name"] == "secrets")
        own = {
            (source["secret"]["name"], item["key"])
            for source in volume["projected"]["sources"]
            for item in source["secret"]["items"]
            if item["path"] == "amqp-url"
        }
        assert own == {(target["name"], target["key"])}


def test_the_numbers_of_replicas_fit() -> None:
    usual = {name: w.manifest["spec"]["replicas"] for name, w in roles("base").items()}
    for thing in of_kind(PRODUCTION, "ScaledObject"):
        spec, name = thing["spec"], thing["metadata"]["name"]
        assert usual[name] == spec["minReplicaCount"] < spec["maxReplicaCount"]
        assert spec["minReplicaCount"] <= spec["fallback"]["replicas"] <= spec["maxReplicaCount"]
    (autoscaler,) = of_kind(PRODUCTION, "HorizontalPodAutoscaler")
    spec = autoscaler["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}
    assert usual["api"] == spec["minReplicas"] < spec["maxReplicas"]
    (metric,) = spec["metrics"]
    assert metric["resource"]["name"] in roles(PRODUCTION)["api"].main["resources"]["requests"]


def test_only_one_says_how_many() -> None:
    scaled = {"api", *PIPELINE}
    for name, workload in roles(PRODUCTION).items():
        # A number in the manifest would be put back at every apply.
        assert ("replicas" in workload.manifest["spec"]) is (name not in scaled)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_budget_leaves_something_to_drain(overlay: str) -> None:
    for budget in of_kind(overlay, "PodDisruptionBudget"):
        name, spec = budget["metadata"]["name"], budget["spec"]
        assert spec["maxUnavailable"] == 1
        if name in roles(overlay):
            labels = roles(overlay)[name].labels
            assert spec["selector"]["matchLabels"].items() <= labels.items()
            assert spec["selector"]["matchLabels"]["app.kubernetes.io/component"] == name
        else:
            assert name in {"rabbitmq", "mongodb"}
            server = named(
                overlay, {"rabbitmq": "RabbitmqCluster"}.get(name, "MongoDBCommunity"), name
            )
            assert (server["spec"].get("replicas") or server["spec"]["members"]) == 3


def test_budgets_are_where_replicas_are() -> None:
    assert {b["metadata"]["name"] for b in of_kind(PRODUCTION, "PodDisruptionBudget")} == {
        *("api", *PIPELINE),
        *("rabbitmq", "mongodb"),
    }
    assert not of_kind(SINGLE_NODE, "PodDisruptionBudget")


def test_the_single_node_needs_no_definitions() -> None:
    plain = {"v1", "apps/v1", "networking.k8s.io/v1"}
    assert {thing["apiVersion"] for thing in render(SINGLE_NODE)} == plain
    for workload in roles(SINGLE_NODE).values():
        assert workload.manifest["spec"]["replicas"] == 1


def test_the_guide_tells_how_far_each_scales() -> None:
    guide = " ".join((DEPLOY / "README.md").read_text().split())
    (api,) = of_kind(PRODUCTION, "HorizontalPodAutoscaler")
    assert f"CPU ({api['spec']['minReplicas']} to {api['spec']['maxReplicas']})" in guide
    for thing in of_kind(PRODUCTION, "ScaledObject"):
        spec, name = thing["spec"], thing["metadata"]["name"]
        span = f"{spec['minReplicaCount']} to {spec['maxReplicaCount']}"
        assert re.search(rf"{name}( and \w+)? {span}|and {name} {span}", guide), name
