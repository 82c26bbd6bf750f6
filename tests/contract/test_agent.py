"""What the operator writes into a pod is what the agent reads. The two never import each other; this test does."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from snoop_agent import settings
from snoop_operator import names
from snoop_operator.profile import DEFAULT_EXCLUDE, DEFAULT_INTERVAL, DEFAULT_MAX_UNIQUE_FILES

GOLDEN = Path(__file__).parents[1] / "operator/admission/golden/burstable.injected.yaml"


def sidecar() -> dict[str, Any]:
    pod = yaml.safe_load(GOLDEN.read_text())
    (found,) = [one for one in pod["spec"]["initContainers"] if one["name"] == names.CONTAINER]
    return dict(found)


def variables() -> dict[str, str]:
    """The sidecar's environment; what the kubelet fills in is the field's name."""
    return {
        one["name"]: one["value"] if "value" in one else one["valueFrom"]["fieldRef"]["fieldPath"]
        for one in sidecar()["env"]
    }


def test_the_agent_understands_every_variable_that_the_operator_sets() -> None:
    given = variables()
    read: set[str] = set()

    class Watched(dict[str, str]):
        def get(self, key: str, default: Any = None) -> Any:
            read.add(key)
            return super().get(key, default)

    settled = settings.load([], Watched(given))
    assert set(given) <= read, set(given) - read
    assert (settled.pod_name, settled.namespace, settled.pod_uid, settled.node) == (
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
    )
    assert settled.operator_url == given[names.ENV_OPERATOR_URL]
    assert settled.operator_address == given[names.ENV_OPERATOR_ADDRESS]
    assert settled.ca_bundle == given[names.ENV_CA_BUNDLE]
    assert settled.token_file == Path(names.TOKEN_PATH)
    assert settled.metrics_addr == ""
    assert settled.pins == Path(names.PINS_DIRECTORY)
    assert settled.report.parent == settled.data_directory == Path(names.DATA_DIRECTORY)


def test_the_agents_defaults_are_those_of_a_profile() -> None:
    settled = settings.load([], {})
    assert settled.interval == DEFAULT_INTERVAL
    assert settled.max_unique_files == DEFAULT_MAX_UNIQUE_FILES
    assert sorted(settled.exclude) == sorted(DEFAULT_EXCLUDE)


def test_the_startup_probe_looks_for_what_the_agent_makes() -> None:
    assert sidecar()["startupProbe"]["exec"]["command"] == ["test", "-e", f"{names.DATA_DIRECTORY}/attached"]
    source = Path(settings.__file__).with_name("agent.py").read_text()
    assert '"attached"' in source


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SNOOP_INTERVAL", "soon"),
        ("SNOOP_EXCLUDE", "etc"),
        ("SNOOP_LOG_LEVEL", "loud"),
        ("SNOOP_ATTACH", "glue"),
        ("SNOOP_PINS", "here"),
    ],
)
def test_a_bad_variable_is_one_clear_line(name: str, value: str) -> None:
    with pytest.raises(settings.SettingsError, match=f"^{name}: .*$"):
        settings.load([], {name: value})
