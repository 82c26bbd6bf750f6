"""The cluster's changes, into the mirror: one whole list first, then kopf's watches, and a list again now and then.

kopf is used for its watches alone (`on.event`): nothing is written into the objects, so no finalizer can hold a
deletion up and no annotation clutters a pod. What has to be done about a change is the callback's business.

Why lists beside watches: kopf does not say when its first listing is complete, and when a watch was away for too long
it tells no deletions.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import kopf

from snoop_operator import names
from snoop_operator.apiclient import ClusterError, NotFoundError
from snoop_operator.cluster import Chunk, Cluster
from snoop_operator.mirror import Change, Kind, Mirror

log = logging.getLogger(__name__)

OnChange = Callable[[Change], None]

_CREDENTIALS_LIFE = timedelta(minutes=5)
"""A service account's token is replaced by the kubelet at 80 % of its hour; kopf asks us again after this."""

_RETRY = 2.0
"""Seconds after which a list that failed is asked for again."""

_RESOURCES: dict[Kind, tuple[str, str]] = {
    Kind.PROFILES: (names.GROUP, names.VERSION),
    Kind.NAMESPACES: ("", "v1"),
    Kind.PODS: ("", "v1"),
    Kind.LIMIT_RANGES: ("", "v1"),
    Kind.RESOURCE_QUOTAS: ("", "v1"),
}


class Controller:
    """Feeds the mirror and calls `on_change` for each change, in the event loop's thread."""

    def __init__(
        self, cluster: Cluster, mirror: Mirror, on_change: OnChange, on_started: Callable[[], None] = lambda: None
    ) -> None:
        self._cluster = cluster
        self._mirror = mirror
        self._on_change = on_change
        self._on_started = on_started
        self._wanted: set[str] = set()
        self._wake = asyncio.Event()
        self.listed = asyncio.Event()
        """Set when the mirror holds the first whole list of everything."""

    async def list_all(self) -> None:
        """Feed everything, and drop what is gone. ClusterError if a list fails; what was fed until then is true."""
        # Namespaces, limits and profiles first: a pod is judged by them when it is seen.
        await self._feed(Kind.NAMESPACES, self._cluster.list_namespaces())
        await self._feed(Kind.LIMIT_RANGES, self._cluster.list_limit_ranges())
        await self._feed(Kind.RESOURCE_QUOTAS, self._cluster.list_resource_quotas())
        await self._feed(Kind.PROFILES, self._cluster.list_profiles())
        for namespace in self._mirror.profiled_namespaces():
            await self._list_pods(namespace)
        await self._feed(
            Kind.PODS, self._cluster.list_injected_pods(), lambda _, pod: bool(pod.labels.get(names.INJECTED) == "true")
        )
        if not self._mirror.listed:
            self._mirror.listed = True
            self.listed.set()
            log.info("listed profiles=%d", len(self._mirror.profile_keys()))

    async def relist(self, interval: float) -> None:
        """List everything every `interval` seconds, and a namespace's pods soon after its profiles have changed."""
        loop = asyncio.get_running_loop()
        due = loop.time() + interval
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._wake.wait()
            self._wake.clear()
            wanted, self._wanted = self._wanted, set()
            try:
                if loop.time() >= due:
                    due = loop.time() + _RETRY
                    await self.list_all()
                    due = loop.time() + interval
                else:
                    for namespace in wanted:
                        await self._list_pods(namespace)
            except ClusterError as error:
                log.warning("list failed, trying again error=%s", error)
                await asyncio.sleep(_RETRY)
                for namespace in wanted:
                    self.want_pods(namespace)

    async def watch(self) -> None:
        """List everything, then follow the changes until kopf dies (an exception) or this is cancelled."""
        await self._first_list()
        tasks = await kopf.spawn_tasks(
            # Not asked of the system: a container's user need not be in its passwd.
            identity=cast("Any", "snoop-operator"),
            registry=self._registry(),
            settings=_settings(),
            standalone=True,
            clusterwide=True,
        )
        # kopf takes the loop's signal handlers for itself.
        self._on_started()
        # Not kopf.run_tasks: at its end it cancels every task of the loop that is younger than kopf, ours included.
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not task.cancelled() and task.exception() is not None:
                    raise RuntimeError(f"the watches ended: {task.exception()}") from task.exception()
            raise RuntimeError("the watches ended")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _first_list(self) -> None:
        # Also because kopf, with its scanning off, would never notice a kind that is defined later.
        for delay in _Backoffs():
            try:
                await self.list_all()
            except ClusterError as error:
                hint = " (is the CRD installed?)" if isinstance(error, NotFoundError) else ""
                log.warning("cluster not listed, trying again in=%.1fs error=%s%s", delay, error, hint)
                await asyncio.sleep(delay)
            else:
                return

    def want_pods(self, namespace: str) -> None:
        """Have a namespace's pods listed again soon, if it has profiles: they are kept, and judged, by those."""
        if self._mirror.has_profiles(namespace):
            self._wanted.add(namespace)
            self._wake.set()

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(self._login)
        for kind, (group, version) in _RESOURCES.items():
            kopf.on.event(group, version, kind.value, id=f"mirror-{kind}", registry=registry)(self._handler(kind))
        return registry

    def _handler(self, kind: Kind) -> Callable[..., Any]:
        async def observe(event: kopf.RawEvent, **_: object) -> None:
            raw = event["object"]
            if event["type"] == "DELETED":
                change = self._mirror.forget(kind, raw)
                self._tell([change] if change else [])
            else:
                self._tell(self._mirror.see(kind, raw))

        return observe

    async def _login(self, **_: object) -> kopf.ConnectionInfo:
        known = await self._cluster.credentials()
        scheme, _space, token = (known.authorization or "").partition(" ")
        return kopf.ConnectionInfo(
            server=known.server,
            ca_path=known.ca_path,
            scheme=scheme.capitalize() or None,
            token=token.strip() or None,
            certificate_path=known.certificate_path,
            private_key_path=known.private_key_path,
            insecure=known.insecure,
            expiration=datetime.now(UTC) + _CREDENTIALS_LIFE if token else None,
        )

    async def _list_pods(self, namespace: str) -> None:
        self._wanted.discard(namespace)
        await self._feed(Kind.PODS, self._cluster.list_pods(namespace), lambda where, _: where == namespace)

    async def _feed(
        self,
        kind: Kind,
        chunks: AsyncIterator[Chunk],
        covers: Callable[[str, Any], bool] = lambda namespace, value: True,
    ) -> None:
        seen: set[str] = set()
        version = 0
        async for chunk in chunks:
            version = version or chunk.version
            for raw in chunk.items:
                seen.add(str((raw.get("metadata") or {}).get("uid") or ""))
                self._tell(self._mirror.see(kind, raw))
        self._tell(self._mirror.settle(kind, seen, version, covers))

    def _tell(self, changes: Iterable[Change]) -> None:
        for change in changes:
            namespace = _judged_anew(change)
            if namespace:
                self.want_pods(namespace)
            self._on_change(change)


def _judged_anew(change: Change) -> str:
    """Name the namespace whose pods are to be kept or judged anew after a change; empty if none."""
    if change.kind is Kind.PROFILES and not change.gone:
        changed = change.before is None or change.before.profile != change.after.profile
        return change.namespace if changed else ""
    if change.kind is Kind.NAMESPACES and not change.gone:
        return change.name
    return change.namespace if change.kind is Kind.LIMIT_RANGES else ""


class _Backoffs(Iterable[float]):
    """Delays without end: an API server that is away is waited for, however long."""

    def __iter__(self) -> Iterator[float]:
        delay = 0.5
        while True:
            yield delay
            delay = min(delay * 2, 15.0)


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False  # Events are ours: kopf would post its log.
    settings.scanning.disabled = True  # Our resources are known; so no right to list CRDs is needed.
    settings.process.ultimate_exiting_timeout = None  # It would SIGKILL a process that outlives kopf.
    # A watch whose connection died silently is noticed by one of these.
    settings.watching.server_timeout = 240
    settings.watching.client_timeout = 300
    settings.watching.connect_timeout = 10
    settings.watching.reconnect_backoff = 0.5
    settings.watching.chunk_size = 250
    settings.networking.request_timeout = 60
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = _Backoffs()
    settings.queueing.idle_timeout = 1.0
    settings.queueing.exit_timeout = 1.0
    return settings
