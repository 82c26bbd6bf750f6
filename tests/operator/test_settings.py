"""The operator's settings: from flags, then variables, then defaults; one clear line if something is wrong."""

import pytest

from snoop_operator import settings

IMAGE = ["--agent-image", "agent:1"]


def test_flags_come_before_variables_and_variables_before_defaults() -> None:
    environ = {"SNOOP_OPERATOR_TLS_PORT": "1", "SNOOP_OPERATOR_HTTP_PORT": "2", "SNOOP_OPERATOR_AGENT_IMAGE": "agent:2"}
    found = settings.load(["--tls-port", "3"], environ)
    assert (found.tls_port, found.http_port, found.agent_image, found.namespace) == (3, 2, "agent:2", "snoop-system")


def test_an_empty_variable_is_one_that_was_left_out() -> None:
    assert settings.load(IMAGE, {"SNOOP_OPERATOR_RETENTION": ""}).retention == 7 * 86_400


def test_what_the_kubelet_puts_beside_a_service_of_our_name_is_no_setting() -> None:
    environ = {"SNOOP_OPERATOR_PORT": "tcp://10.0.0.1:443", "SNOOP_OPERATOR_SERVICE_HOST": "10.0.0.1"}
    assert settings.load(IMAGE, environ) == settings.load(IMAGE, {})


def test_every_setting_can_be_given_and_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        settings.load(["--help"], {})
    assert ended.value.code == 0
    told = capsys.readouterr().out
    for name in settings.Settings.__dataclass_fields__:
        assert f"--{name.replace('_', '-')} " in told


def test_lists_and_resources_are_read() -> None:
    given = ["--agent-limits", "cpu=1, memory=256Mi", "--runtime-classes", "", "--excluded-namespaces", "a,b"]
    found = settings.load(IMAGE + given, {})
    assert found.agent_limits == {"cpu": "1", "memory": "256Mi"}
    assert found.runtime_classes == ()
    assert found.excluded_namespaces == ("a", "b")


def test_inventories_are_on_unless_switched_off_and_their_bounds_are_read() -> None:
    assert settings.load(IMAGE, {}).inventory
    assert not settings.load(IMAGE, {"SNOOP_OPERATOR_INVENTORY": "false"}).inventory
    found = settings.load(
        IMAGE,
        {
            "SNOOP_OPERATOR_INVENTORY_PLAIN_HTTP": "a:5000,b",
            "SNOOP_OPERATOR_INVENTORY_CA_FILE": "/etc/ca.crt",
            "SNOOP_OPERATOR_INVENTORY_MEMORY": "1Gi",
        },
    )
    assert (found.inventory, found.inventory_plain_http, found.inventory_memory) == (True, ("a:5000", "b"), 1 << 30)
    assert str(found.inventory_ca_file) == "/etc/ca.crt"


@pytest.mark.parametrize(
    ("argv", "environ", "said"),
    [
        ([], {}, "the agent's image is required"),
        (["--agent-image", "a b"], {}, "no image reference"),
        ([*IMAGE, "--tls-port", "0"], {}, "no port"),
        ([*IMAGE, "--tls-port", "8080"], {}, "both 8080"),
        (IMAGE, {"SNOOP_OPERATOR_LOG_LEVEL": "loud"}, "SNOOP_OPERATOR_LOG_LEVEL: 'loud' is none of"),
        ([*IMAGE, "--agent-limits", "cpu=1Q"], {}, "no quantity"),
        ([*IMAGE, "--agent-limits", "cpu"], {}, "NAME=QUANTITY"),
        ([*IMAGE, "--agent-requests", "cpu=1"], {}, "more than the limit"),
        ([*IMAGE, "--namespace", "A"], {}, "no DNS label"),
        ([*IMAGE, "--data-directory", "here"], {}, "not absolute"),
        ([*IMAGE, "--retention", "7d"], {}, "no duration"),
        ([*IMAGE, "--inventory-memory", "1Mi"], {}, "less than 64Mi"),
        ([*IMAGE, "--inventory-memory", "much"], {}, "no quantity"),
        ([*IMAGE, "--agent-check", "yes"], {}, "neither true nor false"),
        ([*IMAGE, "--agent-image-pull-policy", "Sometimes"], {}, "none of Always"),
        ([*IMAGE, "--nope"], {}, "unrecognized"),
    ],
)
def test_a_bad_value_is_one_clear_line_and_exit_2(
    argv: list[str], environ: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        settings.load(argv, environ)
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert told.count("\n") == 1
    assert told.startswith("snoop-operator: ")
    assert said in told


def test_the_url_that_agents_post_to_is_a_name_of_the_certificate() -> None:
    found = settings.load([*IMAGE, "--service", "s", "--namespace", "n"], {})
    assert found.operator_url == "https://s.n.svc"
    assert found.operator_url.removeprefix("https://") in found.dns_names
