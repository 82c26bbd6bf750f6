"""The CRD says what the operator reads, writes and relies on. tests/e2e/test_rules.py asks an API server."""

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from snoop_operator import names, profile

ROOT = Path(__file__).parents[2]
CRD = yaml.safe_load((ROOT / "crds" / "snoopprofile.yaml").read_text())
VERSION = CRD["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]
SPEC = SCHEMA["properties"]["spec"]["properties"]
STATUS = SCHEMA["properties"]["status"]["properties"]


def nodes(schema: dict[str, Any], path: str = "") -> list[tuple[str, dict[str, Any]]]:
    found = [(path, schema)]
    for name, child in (schema.get("properties") or {}).items():
        found += nodes(child, f"{path}.{name}")
    if isinstance(schema.get("items"), dict):
        found += nodes(schema["items"], f"{path}[]")
    return found


def test_the_names_are_the_ones_that_the_operator_uses() -> None:
    assert CRD["metadata"]["name"] == f"{names.PLURAL}.{names.GROUP}"
    assert (CRD["spec"]["group"], VERSION["name"]) == (names.GROUP, names.VERSION)
    assert (CRD["spec"]["names"]["kind"], CRD["spec"]["names"]["plural"]) == (names.KIND, names.PLURAL)
    assert CRD["spec"]["names"]["shortNames"] == ["sp"]
    assert CRD["spec"]["names"]["categories"] == ["snoop"]
    assert VERSION["subresources"] == {"status": {}}


def test_kubectl_explain_has_a_sentence_for_every_field() -> None:
    silent = [
        path
        for path, node in nodes(SCHEMA)
        if not node.get("description") and not path.endswith("[]") and path != ".metadata"
    ]
    assert silent == []


def test_every_field_has_a_type_and_nothing_unknown_is_kept() -> None:
    for path, node in nodes(SCHEMA):
        assert "type" in node or node.get("x-kubernetes-int-or-string"), path
        assert not node.get("x-kubernetes-preserve-unknown-fields"), path


def test_lists_are_bounded_so_that_rules_stay_cheap_and_the_status_small() -> None:
    for path, node in nodes(SCHEMA):
        if node.get("type") == "array":
            assert "maxItems" in node, path
            assert "x-kubernetes-list-type" in node, path


def test_every_rule_says_in_words_what_is_wrong() -> None:
    rules = [rule for _, node in nodes(SCHEMA) for rule in node.get("x-kubernetes-validations", [])]
    assert len(rules) > 15
    for rule in rules:
        assert re.match("(must|values must|keys must|the same|requests)", rule["message"]), rule
        # Kubernetes 1.29 to 1.31 would refuse the whole CRD.
        assert "format." not in rule["rule"]


def test_the_defaults_are_the_ones_that_the_operator_assumes() -> None:
    assert tuple(SPEC["exclude"]["default"]) == profile.DEFAULT_EXCLUDE
    assert profile.parse_duration(SPEC["reportInterval"]["default"]) == profile.DEFAULT_INTERVAL
    assert SPEC["maxUniqueFiles"]["default"] == profile.DEFAULT_MAX_UNIQUE_FILES
    assert tuple(SPEC["agent"]["properties"]["logLevel"]["enum"]) == profile.LOG_LEVELS
    assert tuple(SPEC["agent"]["properties"]["attach"]["enum"]) == profile.WAYS
    agent = profile.AgentSpec()
    assert SPEC["agent"]["properties"]["attach"]["default"] == agent.attach
    assert SPEC["agent"]["properties"]["logLevel"]["default"] == agent.log_level
    assert SPEC["agent"]["properties"]["metricsPort"]["default"] == agent.metrics_port


def test_the_fields_are_exactly_those_that_work() -> None:
    assert set(SPEC) == {
        "selector",
        "containers",
        "paused",
        "exclude",
        "reportInterval",
        "maxUniqueFiles",
        "inventory",
        "agent",
    }
    operators = SPEC["selector"]["properties"]["matchExpressions"]["items"]["properties"]["operator"]["enum"]
    assert tuple(operators) == profile.OPERATORS


def test_kubectl_get_shows_the_promised_columns() -> None:
    columns = VERSION["additionalPrinterColumns"]
    assert [one["name"].upper() for one in columns if not one.get("priority")] == [
        "PHASE",
        "PODS",
        "IMAGES",
        "FILES",
        "USED",
        "UNUSED",
        "COMPLETE",
        "AGE",
    ]
    assert [one["name"].upper() for one in columns if one.get("priority")] == ["DROPPED", "LAST-REPORT"]
    for one in columns:
        place = re.match(r"\.status\.(\w+)", one["jsonPath"])
        assert place is None or place.group(1) in STATUS, one


@pytest.mark.parametrize(
    ("spec", "valid"),
    [
        ({"selector": {"matchLabels": {"app": "a"}}}, True),
        ({}, False),
        ({"selector": {"matchExpressions": [{"key": "a"}]}}, False),
        ({"selector": {"matchExpressions": [{"key": "a", "operator": "Is"}]}}, False),
        ({"selector": {"matchLabels": {"app": "a"}}, "maxUniqueFiles": -1}, False),
        ({"selector": {"matchLabels": {"app": "a"}}, "agent": {"metricsPort": 65536}}, False),
        ({"selector": {"matchLabels": {"app": "a"}}, "agent": {"resources": {"limits": {"cpu": 1}}}}, True),
    ],
)
def test_the_plain_part_of_the_schema_judges_as_meant(spec: dict[str, Any], valid: bool) -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert jsonschema.Draft7Validator(SCHEMA).is_valid({"spec": spec}) is valid


def test_what_the_schema_lets_pass_with_defaults_the_operator_can_read() -> None:
    spec = {name: field["default"] for name, field in SPEC.items() if "default" in field}
    spec["selector"] = {"matchLabels": {"app": "a"}}
    assert profile.parse({"metadata": {}, "spec": spec}) == profile.parse(
        {"metadata": {}, "spec": {"selector": spec["selector"]}}
    )


def test_where_inventories_come_from_is_said_in_the_same_words() -> None:
    inventory = SPEC["inventory"]["properties"]
    assert tuple(inventory["source"]["enum"]) == profile.SOURCES
    assert tuple(inventory["pullSecrets"]["enum"]) == profile.PULL_SECRETS
    read = profile.parse({"metadata": {}, "spec": {"selector": {"matchLabels": {"a": "b"}}}})
    assert inventory["source"]["default"] == read.inventory_source
    assert inventory["pullSecrets"]["default"] == read.inventory_pull_secrets
