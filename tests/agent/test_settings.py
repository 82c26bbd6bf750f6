from pathlib import Path

import pytest

from snoop_agent.settings import SettingsError, load, parse_duration, split_address


def test_defaults_are_upstreams() -> None:
    chosen = load([], {})

    assert chosen.report == Path("/data/snoop-report.json")
    assert chosen.interval == 30.0
    assert chosen.exclude == ("/proc/", "/sys/", "/dev/")
    assert chosen.max_unique_files == 100_000
    assert chosen.metrics_addr == ":9090"
    assert chosen.log_level == "info"
    assert not chosen.operator_url


def test_a_flag_wins_over_its_variable_which_wins_over_the_default() -> None:
    environment = {"SNOOP_LOG_LEVEL": "debug", "SNOOP_INTERVAL": "1m30s", "SNOOP_MAX_UNIQUE_FILES": "5"}

    chosen = load(["-log-level", "error", "-interval=10s"], environment)

    assert (chosen.log_level, chosen.interval, chosen.max_unique_files) == ("error", 10.0, 5)


@pytest.mark.parametrize("arguments", [["-report", "/r"], ["-report=/r"], ["--report", "/r"], ["--report=/r"]])
def test_flags_are_written_as_go_takes_them(arguments: list[str]) -> None:
    assert load(arguments, {}).report == Path("/r")


def test_an_empty_variable_is_a_value_where_nothing_can_be_meant() -> None:
    chosen = load([], {"SNOOP_METRICS_ADDR": "", "SNOOP_EXCLUDE": "", "SNOOP_LOG_LEVEL": "", "SNOOP_INTERVAL": ""})

    assert (chosen.metrics_addr, chosen.exclude) == ("", ())
    assert (chosen.log_level, chosen.interval) == ("info", 30.0)


def test_exclusions_are_split_at_commas() -> None:
    assert load(["-exclude", "/a/, /b,,"], {}).exclude == ("/a/", "/b")


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        ([], {"SNOOP_INTERVAL": "30"}, "SNOOP_INTERVAL: '30' is not a duration: write 30s"),
        (["-interval", "1d"], {}, "-interval: '1d' is not a duration"),
        (["-interval", "10ms"], {}, "-interval: '10ms' is too short: at least 1s"),
        (["-max-unique-files", "-1"], {}, "max-unique-files"),
        ([], {"SNOOP_MAX_UNIQUE_FILES": "many"}, "SNOOP_MAX_UNIQUE_FILES: 'many' is not a count"),
        ([], {"SNOOP_LOG_LEVEL": "loud"}, "SNOOP_LOG_LEVEL: 'loud' is none of debug, info, warn, error"),
        (["-metrics-addr", "9090"], {}, "-metrics-addr: '9090' is not an address: write :9090"),
        (["-metrics-addr", ":99999"], {}, "-metrics-addr: ':99999' is not an address"),
        ([], {"SNOOP_EXCLUDE": "proc/"}, "SNOOP_EXCLUDE: 'proc/' is not an absolute path"),
        ([], {"SNOOP_OPERATOR_URL": "http://snoop"}, "SNOOP_OPERATOR_URL: 'http://snoop' is not an https"),
        ([], {"SNOOP_OPERATOR_URL": "https://snoop:port"}, "SNOOP_OPERATOR_URL: 'https://snoop:port' is not an https"),
        ([], {"SNOOP_OPERATOR_URL": "https://snoop:70000"}, "SNOOP_OPERATOR_URL: 'https://snoop:70000' is not an http"),
        ([], {"SNOOP_OPERATOR_URL": "https://[::1"}, "SNOOP_OPERATOR_URL: 'https://[::1' is not an https"),
        (["-report", ""], {}, "-report: is empty"),
        (["-verbose"], {}, "-verbose"),
        (["chek"], {}, "check"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it(arguments: list[str], environment: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(arguments, environment)

    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_durations_are_gos() -> None:
    assert [parse_duration(text) for text in ("1h2m3s", "1.5s", "250ms", ".5s")] == [3723.0, 1.5, 0.25, 0.5]
    for text in ("", "s", "1", "1s ", "-1s", "1s2"):
        with pytest.raises(ValueError, match="not a duration"):
            parse_duration(text)


def test_addresses_may_be_of_any_family() -> None:
    assert split_address(":9090") == ("", 9090)
    assert split_address("127.0.0.1:1") == ("127.0.0.1", 1)
    assert split_address("[::1]:80") == ("::1", 80)


def test_help_names_every_flag_and_the_variables(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load(["--help"], {})

    said = capsys.readouterr().out
    assert ended.value.code == 0
    for flag in ("-report", "-interval", "-exclude", "-max-unique-files", "-metrics-addr", "-log-level", "check"):
        assert flag in said
    assert "SNOOP_LOG_LEVEL" in said
