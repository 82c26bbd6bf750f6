"""The operator's process: ports opened, parts set going, signals heeded. `main` is the script `snoop-operator`."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from snoop_operator import logs, settings
from snoop_operator.apiclient import ClusterError, NoClusterError, connect
from snoop_operator.cluster import Cluster
from snoop_operator.parts import STORE_FILE, Parts
from snoop_operator.settings import Settings
from snoop_operator.store import export
from snoop_operator.store.interface import StoreError
from snoop_operator.store.sql import open_sqlite
from snoop_operator.supervision import HopelessError, Supervisor
from snoop_report.version import version

log = logging.getLogger(__name__)

RELIST = 120.0
"""Seconds between two lists of everything: what broken watches have missed is put right then, and what time alone
changes is seen."""
_DRAIN = 3.0
"""Seconds that requests under way get at the end."""
_LAST_WORDS = 5.0
"""Seconds that the rest of the shutdown gets."""
_BODY = 8 << 20
"""Bytes of a request's body that aiohttp itself would read; ingest and webhook have their own limits."""


class StartError(Exception):
    """The process cannot do its work; the message is one sentence."""


def main() -> None:
    """Run the operator until SIGTERM, or `report`. Exit 0: asked to stop. 1: cannot go on. 2: started wrongly."""
    if sys.argv[1:2] == ["report"]:
        sys.exit(export.main(sys.argv[2:], settings.load([]).data_directory / STORE_FILE))
    chosen = settings.load()
    logs.set_up(chosen.log_level)
    try:
        asyncio.run(run(chosen))
    except NoClusterError as error:
        sys.exit(_last_line(error, 2))
    except (StoreError, StartError, HopelessError) as error:
        sys.exit(_last_line(error, 1))


def _last_line(error: Exception, status: int) -> int:
    print(f"snoop-operator: {error}", file=sys.stderr)
    return status


async def run(chosen: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises what ends the process otherwise."""
    stop = asyncio.Event()
    _heed_signals(stop)
    log.info("starting version=%s agent_image=%s namespace=%s", version(), chosen.agent_image, chosen.namespace)
    cluster = Cluster(await connect())
    try:
        store = await open_sqlite(chosen.data_directory / STORE_FILE)
    except StoreError:
        await cluster.close()
        raise
    log.info("store open id=%s fresh=%s", store.id, store.fresh)
    parts = Parts(chosen, cluster, store, on_watching=lambda: _heed_signals(stop))
    supervisor = Supervisor()
    runners: list[web.AppRunner] = []
    try:
        runners.append(await _listen([parts.health.routes], chosen.bind, chosen.http_port))
        _keep_all(parts, supervisor)
        supervisor.keep("tls server", lambda: _serve_tls(parts, chosen, runners))
        stopping = asyncio.create_task(stop.wait())
        hopeless = asyncio.create_task(supervisor.wait())
        await asyncio.wait([stopping, hopeless], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if hopeless.done():
            raise hopeless.result()
        hopeless.cancel()
        log.info("stopping")
    finally:
        await _end(parts, supervisor, runners)
    log.info("stopped")


def _keep_all(parts: Parts, supervisor: Supervisor) -> None:
    supervisor.keep("watches", parts.controller.watch)
    supervisor.keep("lists", parts.after_listing(lambda: parts.controller.relist(RELIST)))
    # The books are reckoned against the whole picture: before that, every pod would look gone.
    supervisor.keep("ledger", parts.after_listing(parts.ledger.run))
    supervisor.keep("reconciliation", parts.after_listing(parts.reconciler.run))
    supervisor.keep("pruning", parts.after_listing(parts.prune))
    supervisor.keep("events", parts.events.run)
    supervisor.keep("tickets", parts.tickets.keep_clear)
    supervisor.keep("surroundings", parts.look_around)
    if parts.inventories is not None:
        supervisor.keep("inventories", parts.after_listing(parts.inventories.run))
    if parts.check is not None:
        supervisor.keep("agent check", parts.check.run)


async def _serve_tls(parts: Parts, chosen: Settings, runners: list[web.AppRunner]) -> None:
    """Open the TLS port as soon as there is a certificate, then keep certificates and caBundle right."""
    await patiently("certificates", parts.trust.start)
    # No metrics here: the service proxy leads whoever may read reports to this port.
    routes = [parts.health.probes, *parts.routes]
    runner = await _listen(routes, chosen.bind, chosen.tls_port, parts)
    runners.append(runner)
    try:
        await parts.trust.run()
    finally:
        # Started again after a crash, it needs the port; at the end of the process it is drained with the others.
        if sys.exc_info()[0] is not asyncio.CancelledError:
            runners.remove(runner)
            await runner.cleanup()


async def _listen(
    routes: Iterable[list[web.RouteDef]], host: str, port: int, tls: Parts | None = None
) -> web.AppRunner:
    app = web.Application(client_max_size=_BODY)
    for some in routes:
        app.add_routes(some)
    # lingering_time: after a refusal, how long aiohttp reads on what is not wanted.
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=_DRAIN, lingering_time=1.0)
    await runner.setup()
    try:
        context = tls.trust.context if tls is not None else None
        # Replicas never share a host's port; a predecessor's sockets in TIME_WAIT must not keep us out.
        await web.TCPSite(runner, host, port, ssl_context=context, reuse_address=True).start()
    except OSError as error:
        await runner.cleanup()
        raise StartError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    log.info("listening port=%d tls=%s", port, tls is not None)
    return runner


async def patiently(what: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do `work`, and again with longer and longer pauses while the API server does not let it."""
    delay = 0.5
    while True:
        try:
            await work()
        except ClusterError as error:
            log.warning("%s not ready, trying again in=%.1fs error=%s", what, delay, error)
            await asyncio.sleep(delay)
            delay = min(delay * 2, 15.0)
        else:
            return


async def _end(parts: Parts, supervisor: Supervisor, runners: list[web.AppRunner]) -> None:
    """Stop taking requests, finish those under way, write what is gathered, close."""
    for runner in runners:
        await runner.cleanup()
    try:
        async with asyncio.timeout(_LAST_WORDS):
            await supervisor.close()
            if parts.mirror.listed:
                await parts.ledger.flush()
    except TimeoutError:
        log.warning("not everything ended in time")
    with contextlib.suppress(StoreError):
        await parts.store.close()
    await parts.cluster.close()


def _heed_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, stop)


def _stop(stop: asyncio.Event) -> None:
    if stop.is_set():
        os._exit(1)  # Asked twice: whoever asks does not want to wait.
    stop.set()
