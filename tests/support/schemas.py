"""Kubernetes objects against their schemas, as strictly as a server would."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]  # it has no stubs

from support.manifests import Object

LATEST: Final[str] = kubernetes_validate.latest_version()
"""The newest Kubernetes whose schemas are known."""

SCHEMAS: Final = Path(__file__).parents[1] / "schemas"

# Of Kubernetes alone, or told in a way that JSON Schema does not know.
_UNKNOWN: Final = frozenset({"nullable", "format", "example", "default"})


def check_core(thing: Object, version: str = LATEST) -> None:
    """Raise if an object of Kubernetes' own kinds is not valid in this version."""
    kubernetes_validate.validate(thing, version, strict=True)


def schema_file(thing: Object) -> Path:
    """Return where the schema of this kind is, if there is one."""
    return SCHEMAS / f"{thing['apiVersion'].replace('/', '_')}_{thing['kind']}.json"


def faults(thing: Object) -> Iterator[str]:
    """Yield what is wrong with a custom resource; unknown fields are."""
    schema = _strict(json.loads(schema_file(thing).read_text()))
    schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
    for error in jsonschema.Draft202012Validator(schema).iter_errors(thing):
        yield f"{error.json_path}: {error.message}"


def _strict(schema: Any) -> Any:
    """Turn a structural schema into a JSON schema that refuses unknown fields."""
    if not isinstance(schema, dict):
        return schema
    strict = {k: v for k, v in schema.items() if k not in _UNKNOWN and not k.startswith("x-")}
    if "properties" in schema:
        strict["properties"] = {k: _strict(v) for k, v in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in schema:
            strict[key] = _strict(schema[key])
    free = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if "properties" in schema and not free:
        strict["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        strict.pop("type", None)
        strict["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if schema.get("nullable") and "type" in strict:
        strict["type"] = [strict["type"], "null"]
    return strict
