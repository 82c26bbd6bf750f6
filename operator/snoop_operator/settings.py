"""The operator's settings: flags, else SNOOP_OPERATOR_* variables, else defaults. One clear line if a value is bad.

`--agent-image` reads SNOOP_OPERATOR_AGENT_IMAGE, and so on. No flag is named `port…` or `service-…`: the kubelet puts
SNOOP_OPERATOR_PORT and SNOOP_OPERATOR_SERVICE_HOST into every pod beside a Service named snoop-operator.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from snoop_operator import names, quantity
from snoop_operator.profile import LOG_LEVELS, format_duration, parse_duration

ENV_PREFIX = "SNOOP_OPERATOR_"
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
DEFAULT_AGENT_REQUESTS = {"cpu": "50m", "memory": "64Mi"}
DEFAULT_AGENT_LIMITS = {"cpu": "200m", "memory": "128Mi"}

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DNS_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator is told at its start; immutable afterwards."""

    agent_image: str
    agent_image_pull_policy: str = "IfNotPresent"
    agent_image_pull_secrets: tuple[str, ...] = ()
    """Of our own namespace, for the check pod; a sidecar is pulled with those of its pod."""
    agent_requests: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_AGENT_REQUESTS))
    """Of each sidecar, unless a profile asks otherwise; Kubernetes quantities."""
    agent_limits: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_AGENT_LIMITS))
    namespace: str = "snoop-system"
    """The operator's own."""
    pod_name: str = ""
    """The operator's own pod; empty outside of a cluster."""
    service: str = "snoop-operator"
    secret: str = "snoop-operator-tls"  # noqa: S105 - a name
    """Holds the CA and the serving certificate."""
    webhook_configuration: str = "snoop-operator"
    """The MutatingWebhookConfiguration whose caBundle the operator keeps."""
    excluded_namespaces: tuple[str, ...] = ("kube-system",)
    """Never injected, beside the operator's own."""
    runtime_classes: tuple[str, ...] = ("runc", "crun", "nvidia*")
    """Patterns of RuntimeClass names whose containers run on the node's own kernel; the others are not injected."""
    bind: str = "0.0.0.0"  # noqa: S104 - a pod's own network
    tls_port: int = 8443
    """Webhook and ingest."""
    http_port: int = 8080
    """Metrics and health."""
    data_directory: Path = Path("/var/lib/snoop")
    retention: float = 7 * 86_400.0
    """Seconds for which the evidence of pods that no profile selects any more is kept."""
    share_programs: bool = True
    """Whether the agents of a node load the kernel side once for all: each can then read what the others record."""
    inventory: bool = True
    """Whether what images hold is fetched from their registries, to tell what is not seen in use."""
    inventory_plain_http: tuple[str, ...] = ()
    """Registries (HOST:PORT) that may be spoken to without TLS."""
    inventory_ca_file: Path | None = None
    """Certificates to trust for registries, in place of the system's."""
    inventory_memory: int = 320 << 20
    """Bytes that the process may take that reads or judges one image."""
    work_directory: Path = Path("/var/cache/snoop")
    """Where that process keeps a big file of an image for a moment."""
    pull_secrets_role: str = "snoop-pull-secrets"
    """The ClusterRole that a person binds, in a namespace, to let the operator read the pull secrets there."""
    agent_check: bool = True
    """Whether to prove the agent image with a pod of our own at start."""
    log_level: str = "info"

    @property
    def operator_url(self) -> str:
        """Where agents post; its host is a name of the serving certificate."""
        return f"https://{self.service}.{self.namespace}.svc"

    @property
    def dns_names(self) -> tuple[str, ...]:
        """Names that the serving certificate must carry."""
        host = f"{self.service}.{self.namespace}"
        return (f"{host}.svc", f"{host}.svc.cluster.local", host, self.service)


def load(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the command line (default: this process's). Prints one line and exits with 2 if a value is bad."""
    environ = os.environ if environ is None else environ
    parser = _parser()
    given = vars(parser.parse_args(sys.argv[1:] if argv is None else argv))
    for name, (_, read) in _FLAGS.items():
        variable = ENV_PREFIX + name.upper()
        # An empty variable is one that was left out: charts write them so.
        if name not in given and environ.get(variable):
            try:
                given[name] = read(environ[variable])
            except argparse.ArgumentTypeError as error:
                parser.error(f"{variable}: {error}")
    if "agent_image" not in given:
        parser.error(f"the agent's image is required: --agent-image or {ENV_PREFIX}AGENT_IMAGE")
    settings = Settings(**given)
    for name, request in settings.agent_requests.items():
        limit = settings.agent_limits.get(name)
        if limit is not None and quantity.parse(request) > quantity.parse(limit):
            parser.error(f"--agent-requests: {name}={request} is more than the limit {limit}")
    if settings.tls_port == settings.http_port:
        parser.error(f"--tls-port and --http-port are both {settings.tls_port}")
    return settings


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # argparse would print its whole usage first, and the one line that matters would be lost in a pod's log.
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def _parser() -> _Parser:
    parser = _Parser(
        prog="snoop-operator",
        description=f"Watches {names.KIND}s, injects the agent, takes reports in and tells what they say.",
        epilog=f"Every flag can be given as a variable: --agent-image as {ENV_PREFIX}AGENT_IMAGE.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=32, width=100),
        allow_abbrev=False,
    )
    for name, (text, read) in _FLAGS.items():
        default = _show(name)
        told = f"{text} (default: {default})" if default else text
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=read, default=argparse.SUPPRESS, metavar=_metavar(name), help=told)
    return parser


def _image(text: str) -> str:
    if not text or re.search(r"\s", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no image reference")
    return text


def _one_of(allowed: Sequence[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in allowed:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(allowed)}")
        return text

    return read


def _resources(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        name, separator, amount = part.partition("=")
        try:
            if not separator or not name or quantity.parse(amount) <= 0:
                raise quantity.QuantityError(f"{part!r} is not NAME=QUANTITY, such as cpu=50m")
        except quantity.QuantityError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        found[name] = amount
    return found


def _label(text: str) -> str:
    if _DNS_LABEL.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no DNS label")
    return text


def _name(text: str) -> str:
    if _DNS_NAME.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no object name")
    return text


def _list(read: Callable[[str], str]) -> Callable[[str], tuple[str, ...]]:
    def read_all(text: str) -> tuple[str, ...]:
        return tuple(read(part) for part in (one.strip() for one in text.split(",")) if part)

    return read_all


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port between 1 and 65535")
    return int(text)


def _directory(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise argparse.ArgumentTypeError(f"{text!r} is not absolute")
    return path


def _bytes(text: str) -> int:
    try:
        amount = quantity.parse(text)
    except quantity.QuantityError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if amount < 64 << 20:
        raise argparse.ArgumentTypeError(f"{text!r} is less than 64Mi")
    return int(amount)


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text == "true"


_FLAGS: dict[str, tuple[str, Callable[[str], object]]] = {
    "agent_image": ("the agent's image, best by digest; required", _image),
    "agent_image_pull_policy": (f"one of {', '.join(PULL_POLICIES)}", _one_of(PULL_POLICIES)),
    "agent_image_pull_secrets": ("Secrets that the check pod pulls the agent's image with", _list(_name)),
    "agent_requests": ("each sidecar's requests, NAME=QUANTITY with commas between", _resources),
    "agent_limits": ("each sidecar's limits", _resources),
    "namespace": ("the operator's own namespace", _label),
    "pod_name": ("the operator's own pod", _name),
    "service": ("the operator's Service; it answers on port 443", _label),
    "secret": ("Secret for the CA and the serving certificate; made if absent", _name),
    "webhook_configuration": ("MutatingWebhookConfiguration whose caBundle is kept up to date", _name),
    "excluded_namespaces": ("namespaces never injected, beside the operator's own, with commas between", _list(_label)),
    "runtime_classes": (
        "RuntimeClasses whose containers run on the node's own kernel (patterns); pods of others are not injected",
        _list(str),
    ),
    "bind": ("address to listen on", str),
    "tls_port": ("port of the webhook and of ingest", _port),
    "http_port": ("port of metrics and health", _port),
    "data_directory": ("where the evidence is stored", _directory),
    "retention": ("how long evidence is kept that no profile selects any more, such as 168h", _duration),
    "share_programs": ("true or false: agents of one node load their BPF programs once for all, in a bpffs", _boolean),
    "inventory": ("true or false: fetch from registries what images hold, to tell what is not seen in use", _boolean),
    "inventory_plain_http": ("registries, HOST:PORT with commas between, that need no TLS", _list(str)),
    "inventory_ca_file": ("certificates to trust for registries, in place of the system's", _directory),
    "inventory_memory": ("memory of the process that reads or judges one image, such as 320Mi", _bytes),
    "work_directory": ("where that process keeps a big file of an image for a moment", _directory),
    "pull_secrets_role": ("ClusterRole that lets the operator read pull secrets where it is bound; it is named", _name),
    "agent_check": ("true or false: prove at start that the agent image can be pulled and runs", _boolean),
    "log_level": (f"one of {', '.join(LOG_LEVELS)}", _one_of(LOG_LEVELS)),
}
"""By Settings field: what --help says, and how the text is read."""

_REFERENCE = Settings(agent_image="")


def _show(name: str) -> str:
    value = getattr(_REFERENCE, name)
    if name == "retention":
        return format_duration(value)
    if name == "inventory_memory":
        return f"{value >> 20}Mi"
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return ",".join(f"{key}={one}" for key, one in value.items())
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _metavar(name: str) -> str:
    return name.rpartition("_")[2].upper()
