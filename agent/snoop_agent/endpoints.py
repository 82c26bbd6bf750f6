"""/metrics, /healthz and /readyz, if a port is asked for: in an injected sidecar there is none, and this is not loaded.

The numbers are taken when they are asked for, so they cost nothing in between.
"""

import http.server
import logging
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from snoop_agent.ledger import kinds_of
from snoop_agent.observability import Numbers
from snoop_agent.settings import split_address

if TYPE_CHECKING:
    from prometheus_client import Metric

LOG = logging.getLogger(__name__)


class _Collector:
    """Shapes the numbers as metrics. Upstream's names keep their meanings; ours begin with snoop_ as well.

    Upstream counts `snoop_events_total` by system call. Here the kernel counts operations per container, repeats
    included, and tells their kind only once: so that one is by container, and `snoop_records_total` is by kind.
    """

    def __init__(self, numbers: Callable[[], Numbers]) -> None:
        self._numbers = numbers

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        now = self._numbers()
        events = CounterMetricFamily("snoop_events", "Operations seen, repeats included", labels=["container"])
        for container, count in sorted(now.events.items()):
            events.add_metric([container], count)
        yield events
        records = CounterMetricFamily("snoop_records", "First touches that the kernel told of", labels=["kind"])
        by_kind: dict[str, int] = {}
        for bits, count in now.records.items():
            for kind in kinds_of(bits):
                by_kind[kind] = by_kind.get(kind, 0) + count
        for name, count in sorted(by_kind.items()):
            records.add_metric([name], count)
        yield records
        for name, words, value in (
            ("snoop_events_processed", "Events resulting in new paths", now.observations),
            ("snoop_events_dropped", "Records for which the kernel found no room", now.dropped),
            ("snoop_report_writes", "Report files written", now.report_writes),
            ("snoop_report_write_errors", "Report files that could not be written", now.report_write_errors),
            ("snoop_posts", "Deltas that the operator acknowledged", now.posts),
            ("snoop_post_failures", "Attempts to post a delta that failed", now.post_failures),
        ):
            yield CounterMetricFamily(name, words, value=value)
        for name, words, value in (
            ("snoop_unique_files", "Files recorded", now.unique_files),
            ("snoop_outbox_deltas", "Deltas that wait for the operator", now.outbox),
            ("snoop_gaps", "Reasons why the report may not hold everything", now.gaps),
            ("snoop_tracing", "1 while the hooks are attached", int(now.tracing)),
        ):
            yield GaugeMetricFamily(name, words, value=value)
        if now.tracing:
            way = GaugeMetricFamily("snoop_attached", "How the hooks are attached", labels=["hooks", "attach"])
            way.add_metric([now.hooks, now.attach], 1)
            yield way
            words = "1 if the programs are loaded once for all agents of the node"
            yield GaugeMetricFamily("snoop_programs_shared", words, value=int(now.shared))
            words = "Runs of the tracing programs that the kernel skipped; of all agents that share them"
            yield CounterMetricFamily("snoop_recursion_misses", words, value=now.skipped)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # Not HTTPServer's: it asks DNS for this machine's name, which may take as long as it likes.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "snoop-agent", self.server_address[1]


class _DualServer(_Server):
    """Every interface, IPv4 and IPv6."""

    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def serve(address: str, numbers: Callable[[], Numbers]) -> http.server.HTTPServer | None:
    """Serve the endpoints at `address` (host:port) from threads of their own; None, and a line in the log, if not.

    /healthz answers 200 while the process lives. /readyz answers 200 once the hooks are attached, or the agent has
    given them up: nobody shall wait for an agent that will not trace. Its body says which.
    """
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.exposition import CONTENT_TYPE_LATEST

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(numbers))

    class Handler(http.server.BaseHTTPRequestHandler):
        server_version = "snoop-agent"
        sys_version = ""
        timeout = 10

        def do_GET(self) -> None:
            path = self.path.split("?", 1)[0]
            if path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
            elif path == "/healthz":
                self._answer(200, "text/plain; charset=utf-8", b"ok\n")
            elif path == "/readyz":
                now = numbers()
                self._answer(200 if now.ready else 503, "text/plain; charset=utf-8", f"{now.state}\n".encode())
            else:
                self._answer(404, "text/plain; charset=utf-8", b"try /metrics, /healthz or /readyz\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            LOG.debug("http: " + format, *args)

    host, port = split_address(address)
    try:
        server = _bind(host, port, Handler)
    except OSError as error:
        LOG.error("no metrics: cannot listen on %s: %s", address, error.strerror or error)
        return None
    threading.Thread(target=server.serve_forever, args=(3600,), name="metrics", daemon=True).start()
    return server


def _bind(host: str, port: int, handler: type[http.server.BaseHTTPRequestHandler]) -> http.server.HTTPServer:
    if host and ":" not in host:
        return _Server((host, port), handler)
    try:
        return _DualServer((host or "::", port), handler)
    except OSError:
        if host:
            raise
        return _Server(("0.0.0.0", port), handler)  # noqa: S104 - upstream's default, and only where asked for
