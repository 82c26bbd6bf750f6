"""The agent's settings: flags win over SNOOP_ variables, which win over defaults. Pure; errors name the culprit.

Flags, variables and defaults are upstream snoop's, but for -attach; what else upstream does not know is a variable
only, since the operator sets it (snoop_operator/names.py names the same ones).
"""

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar
from urllib.parse import urlsplit

from snoop_report.version import version

_T = TypeVar("_T")

LOG_LEVELS = ("debug", "info", "warn", "error")
WAYS = ("auto", "fexit", "tracepoint", "raw_tp")
DEFAULT_REPORT = "/data/snoop-report.json"
DEFAULT_INTERVAL = "30s"
DEFAULT_EXCLUDE = "/proc/,/sys/,/dev/"
DEFAULT_MAX_UNIQUE_FILES = "100000"
DEFAULT_METRICS_ADDR = ":9090"
DEFAULT_LOG_LEVEL = "info"
DEFAULT_ATTACH = "auto"
DEFAULT_RING = "4Mi"
DEFAULT_DATA_DIRECTORY = "/data"
DEFAULT_TOKEN_FILE = "/var/run/secrets/snoop.dev/token"  # noqa: S105 - a path

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:h|ms|m|s|us|µs|ns)")


class SettingsError(ValueError):
    """A flag or variable is wrong. The message is one line: which, why, and what would be right."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What one agent was told."""

    report: Path
    interval: float
    """Seconds between report writes, and between heartbeats."""
    exclude: tuple[str, ...]
    """Path prefixes that are not recorded."""
    max_unique_files: int
    """Per container; 0: unbounded."""
    metrics_addr: str
    """host:port, :port, or empty for no port."""
    log_level: str
    attach: str = DEFAULT_ATTACH
    """How to attach to the kernel, one of WAYS."""
    ring: int = 4 << 20
    """Bytes of the buffer between kernel and agent, which count as the agent's memory."""
    pins: Path | None = None
    """A directory in a bpffs where the agents of a node share what they load. None: each loads its own."""
    operator_url: str = ""
    """Empty: standalone, as upstream: report file and metrics only."""
    operator_address: str = ""
    """Where to connect instead of the URL's host; empty: resolve that."""
    ca_bundle: str = ""
    """PEM text; empty: the system's certificates."""
    token_file: Path = Path(DEFAULT_TOKEN_FILE)
    pod_name: str = ""
    namespace: str = ""
    pod_uid: str = ""
    node: str = ""
    data_directory: Path = Path(DEFAULT_DATA_DIRECTORY)
    """The only place that the agent writes to: outbox, state, the file `attached` of the startup probe."""
    command: str = ""
    """Empty: run. `check`: say what works, then end."""


def parse_duration(text: str) -> float:
    """Read a duration as Go writes it, `1m30s`, in seconds. ValueError if it is not one.

    >>> parse_duration("1m30s"), parse_duration("500ms")
    (90.0, 0.5)
    """
    parts = _DURATION.findall(text)
    if not parts or "".join(parts) != text:
        raise ValueError(f"{text!r} is not a duration: write 30s, 5m or 1m30s")
    total = 0.0
    for part in parts:
        unit = part.lstrip("0123456789.")
        total += float(part.removesuffix(unit)) * _UNITS[unit]
    return total


def load(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Settle the settings. SettingsError if one is wrong; SystemExit(0) after --help or --version."""
    given = vars(_parser().parse_args(list(arguments)))

    def value(flag: str, default: str, read: Callable[[str], _T], *, blank: bool = False) -> _T:
        """Read a flag, or its variable, or `default`. `blank`: an empty variable is a value, not an absence."""
        variable = "SNOOP_" + flag.upper().replace("-", "_")
        text = given.get(flag.replace("-", "_"))
        place = f"-{flag}"
        if text is None:
            text, place = environment.get(variable), variable
            if text is None or not (text or blank):
                text = default
        try:
            return read(text)
        except ValueError as error:
            raise SettingsError(f"{place}: {error}") from error

    def text(variable: str, default: str = "") -> str:
        return environment.get(variable) or default

    return Settings(
        report=value("report", DEFAULT_REPORT, _path),
        interval=value("interval", DEFAULT_INTERVAL, _interval),
        exclude=value("exclude", DEFAULT_EXCLUDE, _prefixes, blank=True),
        max_unique_files=value("max-unique-files", DEFAULT_MAX_UNIQUE_FILES, _count),
        metrics_addr=value("metrics-addr", DEFAULT_METRICS_ADDR, _address, blank=True),
        log_level=value("log-level", DEFAULT_LOG_LEVEL, _level),
        attach=value("attach", DEFAULT_ATTACH, _way),
        ring=value("ring", DEFAULT_RING, _ring),
        pins=value("pins", "", _pins),
        operator_url=value("operator-url", "", _url),
        operator_address=text("SNOOP_OPERATOR_ADDRESS"),
        ca_bundle=text("SNOOP_CA_BUNDLE"),
        token_file=Path(text("SNOOP_TOKEN_FILE", DEFAULT_TOKEN_FILE)),
        pod_name=text("SNOOP_POD_NAME"),
        namespace=text("SNOOP_POD_NAMESPACE"),
        pod_uid=text("SNOOP_POD_UID"),
        node=text("SNOOP_NODE_NAME"),
        data_directory=Path(text("SNOOP_DATA_DIRECTORY", DEFAULT_DATA_DIRECTORY)),
        command=given["command"] or "",
    )


def split_address(address: str) -> tuple[str, int]:
    """Split `host:port`, `[v6]:port` or `:port`; an empty host means every interface. ValueError if it is neither."""
    host, colon, port = address.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"{address!r} is not an address: write :9090, 127.0.0.1:9090, or nothing for no port")
    return host.removeprefix("[").removesuffix("]"), int(port)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message} (snoop-agent --help lists the flags)")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        parser.exit(0, f"snoop-agent {version()}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="snoop-agent",
        description="Record which files the containers of this pod use, and report them.",
        epilog="Each flag has a variable: -log-level is SNOOP_LOG_LEVEL. A flag wins over its variable. "
        "Durations are written 30s, 5m, 1m30s.",
        allow_abbrev=False,
    )
    flags = (
        ("report", "FILE", f"where the JSON report goes (default {DEFAULT_REPORT})"),
        ("interval", "DURATION", f"time between two reports (default {DEFAULT_INTERVAL})"),
        ("exclude", "PREFIXES", f"path prefixes not to record, with commas between (default {DEFAULT_EXCLUDE})"),
        ("max-unique-files", "N", f"paths to keep per container, 0: all (default {DEFAULT_MAX_UNIQUE_FILES})"),
        ("metrics-addr", "ADDRESS", f"/metrics, /healthz, /readyz; '': no port (default {DEFAULT_METRICS_ADDR})"),
        ("log-level", "LEVEL", f"one of {', '.join(LOG_LEVELS)} (default {DEFAULT_LOG_LEVEL})"),
        ("attach", "WAY", f"how to attach to the kernel: one of {', '.join(WAYS)} (default {DEFAULT_ATTACH})"),
        ("ring", "SIZE", f"buffer between kernel and agent, 64Ki to 64Mi (default {DEFAULT_RING})"),
        ("pins", "DIR", "where in a bpffs the agents of a node share their programs (default: each loads its own)"),
    )
    for name, placeholder, words in flags:
        parser.add_argument(f"-{name}", f"--{name}", metavar=placeholder, help=words)
    parser.add_argument("-version", "--version", action=_Version, nargs=0, help="print the version and end")
    parser.add_argument(
        "command",
        nargs="?",
        choices=("check",),
        metavar="check",
        help="say what works here, and end with 0 if the image runs",
    )
    return parser


def _path(text: str) -> Path:
    if not text:
        raise ValueError("is empty: name a file")
    return Path(text)


def _interval(text: str) -> float:
    seconds = parse_duration(text)
    if seconds < 1:
        raise ValueError(f"{text!r} is too short: at least 1s")
    return seconds


def _prefixes(text: str) -> tuple[str, ...]:
    prefixes = tuple(part.strip() for part in text.split(",") if part.strip())
    for prefix in prefixes:
        if not prefix.startswith("/"):
            raise ValueError(f"{prefix!r} is not an absolute path: start it with /")
    return prefixes


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a count: write 0 (unbounded) or more")
    return int(text)


def _address(text: str) -> str:
    if text:
        split_address(text)
    return text


def _level(text: str) -> str:
    if text.lower() not in LOG_LEVELS:
        raise ValueError(f"{text!r} is none of {', '.join(LOG_LEVELS)}")
    return text.lower()


def _way(text: str) -> str:
    if text not in WAYS:
        raise ValueError(f"{text!r} is none of {', '.join(WAYS)}")
    return text


def _ring(text: str) -> int:
    found = re.fullmatch(r"(\d{1,5})(Ki|Mi)", text)
    size = int(found[1]) << (10 if found[2] == "Ki" else 20) if found else 0
    if not 64 << 10 <= size <= 64 << 20 or size & size - 1:
        raise ValueError(f"{text!r} is no power of two between 64Ki and 64Mi")
    return size


def _pins(text: str) -> Path | None:
    if text and not text.startswith("/"):
        raise ValueError(f"{text!r} is not an absolute path: start it with /")
    return Path(text) if text else None


def _url(text: str) -> str:
    wrong = f"{text!r} is not an https:// address"
    try:
        parts = urlsplit(text)
        whole = parts.scheme == "https" and parts.hostname and parts.port != 0
    except ValueError as error:  # a port that is none, brackets that do not match
        raise ValueError(f"{wrong}: {error}") from error
    if text and not whole:
        raise ValueError(wrong)
    return text.rstrip("/")
