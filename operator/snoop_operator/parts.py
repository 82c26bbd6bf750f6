"""The operator's parts, made and joined: who tells whom. Serving and ending them is `server`'s business."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CollectorRegistry

from snoop_operator import announcements, names
from snoop_operator.admission.surroundings import Runtime
from snoop_operator.admission.webhook import PodWebhook
from snoop_operator.agentcheck import AgentCheck
from snoop_operator.apiclient import JSON, ClusterError, NotFoundError
from snoop_operator.cluster import Cluster
from snoop_operator.controller import Controller
from snoop_operator.events import Events
from snoop_operator.health import Health
from snoop_operator.ingest.api import Ingest
from snoop_operator.ingest.authentication import Authenticator
from snoop_operator.inventories.keeper import Inventories
from snoop_operator.ledger import Ledger
from snoop_operator.mirror import Change, Kind, Mirror
from snoop_operator.profile import Profile
from snoop_operator.reading.api import Reading
from snoop_operator.reading.tickets import Tickets
from snoop_operator.reconcile import Reconciler, selecting
from snoop_operator.settings import Settings
from snoop_operator.store.interface import Store, StoreError
from snoop_operator.tokenreview import ClusterReviewer
from snoop_operator.trust import Trust
from snoop_report.version import version

log = logging.getLogger(__name__)

STORE_FILE = "evidence.sqlite"
_LOOK = 60.0
_PRUNE = 3600.0
_CHECK_PATIENCE = 20.0
"""Seconds after which we are ready even if the agent image is not proven: admission knows how to go on without."""
_NATIVE_SIDECARS = (1, 29)
"""The version from which the API server keeps an init container's restartPolicy by default (KEP-753)."""


class Parts:
    """Everything that one operator process consists of."""

    def __init__(
        self, settings: Settings, cluster: Cluster, store: Store, on_watching: Callable[[], None] = lambda: None
    ) -> None:
        self.settings, self.cluster, self.store = settings, cluster, store
        self._started = time.monotonic()
        self._address = ""
        self._looked = False
        self._native_sidecars = True
        self.registry = CollectorRegistry()
        self.mirror = Mirror()
        self.events = Events(cluster, settings.pod_name, time.time)
        self.controller = Controller(cluster, self.mirror, self.on_change, on_watching)
        self.ledger = Ledger(store, self.mirror, time.time)
        self.reconciler = Reconciler(self.mirror, store, cluster, self.events, settings.agent_image, time.time)
        self.inventories: Inventories | None = None
        if settings.inventory:
            file = settings.data_directory / STORE_FILE
            want = self.reconciler.want
            self.inventories = Inventories(store, file, cluster, settings, want, time.time)
            self.reconciler.images = self.inventories
        self.trust = Trust(
            cluster,
            settings.namespace,
            settings.secret,
            settings.webhook_configuration,
            settings.dns_names,
            time.time,
        )
        self.check = AgentCheck(cluster, self.mirror, settings) if settings.agent_check else None
        self.ingest = Ingest(
            store,
            Authenticator(ClusterReviewer(cluster), names.AUDIENCE),
            self.mirror,
            self.registry,
            on_report=self.on_report,
            ca_bundle=self.trust.ca_bundle,
        )
        self.tickets = Tickets(cluster, time.time)
        self.reading = Reading(store, self.mirror, self.tickets)
        self.webhook = PodWebhook(self.mirror, settings, self.runtime, self.registry)
        self.mirror.judge = self.webhook.judge
        self.health = Health(self.registry)
        for check in (self._store_ready, self._listed, self._seen, self._trusted, self._checked):
            self.health.require(check)

    @property
    def routes(self) -> list[list[web.RouteDef]]:
        """What is served over TLS beside health."""
        return [self.ingest.routes, self.webhook.routes, self.reading.routes]

    def runtime(self) -> Runtime:
        """Say what admission needs to know of this process now."""
        return Runtime(self.trust.ca_bundle(), self._address, self._native_sidecars, version())

    def on_change(self, change: Change) -> None:
        """Pass a change of the cluster on to whoever it concerns."""
        if change.kind is Kind.PROFILES and not change.gone:
            self.reconciler.want(change.namespace, change.name)
        if change.kind is not Kind.PODS:
            return
        self.ledger.note(change)
        if change.after is not None:
            self.webhook.saw(change.after)
        self.reconciler.want_for(change.before, change.after)
        if change.gone:
            self.ingest.forget(change.before.uid)
            return
        profiles = selecting(self.mirror, change.after)
        for event in announcements.about_change(change.after, change.before, profiles, time.time()):
            self.events.tell(event)

    def on_report(self, pod_uid: str) -> None:
        """Have the profiles of a pod that has reported reconciled."""
        self.reconciler.want_for(self.mirror.pod_by_uid(pod_uid))

    def after_listing(self, work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """Hold `work` back until the mirror knows the whole cluster."""

        async def waiting() -> None:
            await self.controller.listed.wait()
            await work()

        return waiting

    async def look_around(self) -> None:
        """Keep what admission needs to know of the cluster: our Service's address, the API server's version."""
        trouble = ""
        while True:
            try:
                self._native_sidecars = has_native_sidecars(await self.cluster.get_version())
                self._address = await self._service_address()
                self._looked, trouble = True, ""
            except ClusterError as error:
                # Without the address, agents need the cluster's DNS; most have it.
                if str(error) != trouble:
                    log.warning("surroundings not known, trying again error=%s", error)
                trouble = str(error)
            await asyncio.sleep(_LOOK if not trouble else 5.0)

    async def prune(self) -> None:
        """Forget what nobody has wanted for the retention period, every hour."""
        while True:
            profiles = self._all_profiles()
            if profiles is not None:
                try:
                    pruned = await self.store.prune(profiles, time.time(), self.settings.retention)
                except StoreError as error:
                    log.warning("evidence not pruned error=%s", error)
                else:
                    if pruned.pods or pruned.folded:
                        words = "evidence pruned pods=%d paths=%d folded=%d"
                        log.info(words, pruned.pods, pruned.paths, pruned.folded)
            await asyncio.sleep(_PRUNE)

    def _all_profiles(self) -> list[Profile] | None:
        """List every profile; None if one cannot be read: what it selects is not known, so nothing may be forgotten."""
        found: list[Profile] = []
        for namespace, name in self.mirror.profile_keys():
            state = self.mirror.profile(namespace, name)
            if state is None or state.profile is None:
                return None
            found.append(state.profile)
        return found

    async def _service_address(self) -> str:
        try:
            service = await self.cluster.get_service(self.settings.namespace, self.settings.service)
        except NotFoundError:
            return ""
        address = str((service.get("spec") or {}).get("clusterIP") or "")
        return "" if address == "None" else address  # A headless Service says so.

    async def _store_ready(self) -> str:
        try:
            await self.store.check()
        except StoreError as error:
            return f"store: {error}"
        return ""

    async def _listed(self) -> str:
        return "" if self.mirror.listed else "the cluster is not listed yet"

    async def _seen(self) -> str:
        return "" if self._looked else "the Service and the API server's version are not known yet"

    async def _trusted(self) -> str:
        return "" if self.trust.announced else "the webhook's caBundle is not set yet"

    async def _checked(self) -> str:
        if self.check is None or self.check.concluded.is_set():
            return ""
        waited = time.monotonic() - self._started
        return "" if waited > _CHECK_PATIENCE else "the agent image is being checked"


def has_native_sidecars(told: JSON) -> bool:
    """Whether an API server of this version (`major`, `minor`) keeps native sidecars. One that does not say: yes."""
    try:
        numbers = int(str(told["major"])), int(str(told["minor"]).rstrip("+"))
    except (KeyError, ValueError):
        return True
    return numbers >= _NATIVE_SIDECARS
