"""What ingest publishes: its own work, and the agents' counters under upstream's names, for pods that are alive.

In a pod no port is opened unless the profile asks for one, so the counters that upstream's agent serves are here.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from snoop_operator.store.interface import Accepted, PodKey
from snoop_report.model import Delta

MAX_CONTAINERS = 10_000
"""Containers whose counters are published; more would burden whoever scrapes. What is left out is counted."""
_OF_ONE_POD = 1_000
SILENCE = 3600.0
"""Seconds without a post after which a pod's counters are dropped, should nobody tell that it is gone."""


@dataclass(slots=True)
class _Container:
    events: int
    dropped: int
    files: int


@dataclass(slots=True)
class _Pod:
    namespace: str
    name: str
    seen: float
    containers: dict[tuple[str, str], _Container]
    """(name, container ID) → what it counted. A restarted container has a new ID and the same name."""


class AgentCounters(Collector):
    """The newest counters of every pod that posts."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pods: OrderedDict[str, _Pod] = OrderedDict()

    def update(self, pod: PodKey, delta: Delta, accepted: Accepted) -> None:
        """Take in what a delta says."""
        known = self._pods.setdefault(pod.uid, _Pod(pod.namespace, pod.name, 0.0, {}))
        known.seen = self._clock()
        self._pods.move_to_end(pod.uid)
        for one in delta.report.containers:
            identity = accepted.identities.get(one.id)
            name = identity.name if identity and identity.name else one.id[:12]
            known.containers.pop((one.id[:12], one.id), None)  # it has a name now
            files = accepted.files.get(one.id, 0)
            known.containers[name, one.id] = _Container(one.total_events, one.dropped_events, files)
        while len(known.containers) > _OF_ONE_POD:
            del known.containers[next(iter(known.containers))]

    def forget(self, pod_uid: str) -> None:
        """Drop a pod that is gone."""
        self._pods.pop(pod_uid, None)

    def collect(self) -> Iterator[Metric]:
        """Give every pod's counters, summed over restarts of a container."""
        labels = ["namespace", "pod", "container"]
        events = CounterMetricFamily("snoop_events", "Operations on files, repeats included.", labels=labels)
        dropped = CounterMetricFamily("snoop_events_dropped", "Records the kernel found no room for.", labels=labels)
        files = GaugeMetricFamily("snoop_unique_files", "Distinct files seen in use.", labels=labels)
        oldest = self._clock() - SILENCE
        published = omitted = 0
        # Scraped from another thread, perhaps, while the loop takes in a delta.
        for pod in list(self._pods.values()):
            if pod.seen < oldest:
                continue
            for name, one in _by_name(dict(pod.containers)).items():
                if published >= MAX_CONTAINERS:
                    omitted += 1
                    continue
                published += 1
                values = [pod.namespace, pod.name, name]
                events.add_metric(values, one.events)
                dropped.add_metric(values, one.dropped)
                files.add_metric(values, one.files)
        yield from (events, dropped, files)
        left_out = GaugeMetricFamily("snoop_containers_unpublished", "Containers whose counters are left out here.")
        left_out.add_metric([], omitted)
        yield left_out


def _by_name(containers: Mapping[tuple[str, str], _Container]) -> dict[str, _Container]:
    summed: dict[str, _Container] = {}
    for (name, _), one in containers.items():
        known = summed.setdefault(name, _Container(0, 0, 0))
        known.events += one.events
        known.dropped += one.dropped
        known.files = max(known.files, one.files)
    return summed


class Metrics:
    """All of ingest's metrics, in one registry."""

    def __init__(self, registry: CollectorRegistry, reasons: Iterable[str] = ()) -> None:
        self.agents = AgentCounters()
        registry.register(self.agents)
        self.deltas = Counter("snoop_ingest_deltas", "Deltas that were stored.", ["final"], registry=registry)
        self.observations = Counter("snoop_ingest_observations", "Observations in them.", registry=registry)
        self.bytes = Counter("snoop_ingest_bytes", "Bytes of deltas, inflated.", registry=registry)
        self.refusals = Counter("snoop_ingest_refusals", "Posts refused.", ["reason"], registry=registry)
        self.resends = Counter("snoop_ingest_resends", "Times that an agent was asked for all.", registry=registry)
        self.seconds = Histogram("snoop_ingest_seconds", "From a delta's headers to its answer.", registry=registry)
        for reason in reasons:
            self.refusals.labels(reason)  # a rate can be taken before the first one happens
