"""One agent's place in an installation: its targets, and the ring, the objects seen and the counters that are its own.

Of a node's installation several agents have such a place, each at a slot of its own.
"""

import ctypes
import os
import time
from collections.abc import Callable, Iterator

from snoop_agent import bpfsys, kernel, wire
from snoop_agent.installation import Installation
from snoop_agent.plan import CONTAINERS, Plan
from snoop_agent.subject import Place, Subject, Whereabouts

_OUTER = {"rings": "ring", "seens": "seen", "countings": "counters"}
"""Tables of the agents' own maps, by slot, and which of the installation's has their shape."""
_ZERO = ctypes.c_uint32(0)


class Registration:
    """What `register` gives."""

    def __init__(self, installation: Installation, slot: int, maps: dict[str, int], *, owned: bool) -> None:
        self.slot = slot
        self.epoch = time.time_ns()
        self._installation = installation
        self._maps = maps
        self._owned = owned
        self._cgroups: set[int] = set()
        # Key 0: of containers for which there is no room. It is never one's ID.
        none = (wire.Counters * bpfsys.possible_cpus())()
        bpfsys.map_update(maps["counters"], ctypes.c_uint64(0), none)
        for table, name in _OUTER.items():
            descriptor = ctypes.c_uint32(maps[name])
            bpfsys.map_update(installation.maps[table], ctypes.c_uint32(slot), descriptor)

    @property
    def ring(self) -> int:
        """The ring's descriptor."""
        return self._maps["ring"]

    @property
    def ring_size(self) -> int:
        """Its bytes."""
        return bpfsys.map_entries(self.ring)

    @property
    def counters(self) -> int:
        """That of the counters by container."""
        return self._maps["counters"]

    def add(self, subject: Subject) -> None:
        """Trace a cgroup, of the same hierarchy as all others. KernelError if there is no room for its depth."""
        configure(self._installation, subject.level)
        target = wire.Target(
            own=subject.own,
            waiting=subject.waiting,
            whole=subject.whole,
            keep_root=subject.keep_root,
            runtime_ns=subject.runtime,
            runtime_root=subject.runtime_root,
            slot=self.slot,
            epoch=self.epoch,
        )
        bpfsys.map_update(self._installation.maps["targets"], ctypes.c_uint64(subject.cgroup), target)
        self._cgroups.add(subject.cgroup)
        configure(self._installation)

    def remove(self, cgroup: int) -> None:
        """Stop tracing the cgroup of that ID. It may be gone already, and with it its row, or be another agent's."""
        self._cgroups.discard(cgroup)
        if self.holds(cgroup):
            bpfsys.map_discard(self._installation.maps["targets"], ctypes.c_uint64(cgroup))
        configure(self._installation)

    def holds(self, cgroup: int) -> bool:
        """Whether the kernel side tells of that cgroup here."""
        row = wire.Target()
        there = bpfsys.map_lookup(self._installation.maps["targets"], ctypes.c_uint64(cgroup), row)
        return there and (row.slot, row.epoch) == (self.slot, self.epoch)

    @property
    def intact(self) -> bool:
        """Whether it does so of all that are traced here. The kernel side drops those that are gone."""
        if all(self.holds(cgroup) for cgroup in self._cgroups):
            return True
        return not any(cgroup in self._cgroups for cgroup, _ in targets(self._installation))

    def _mine(self) -> bool:
        """Whether the ring at this slot is still ours."""
        there = (ctypes.c_uint32 * 1)()
        found = bpfsys.map_lookup(self._installation.maps["rings"], ctypes.c_uint32(self.slot), there)
        return found and there[0] == bpfsys.map_id(self.ring)

    def close(self) -> None:
        """Stop tracing, and free what was made."""
        for cgroup in list(self._cgroups):
            self.remove(cgroup)
        if self._owned:
            # Another agent of the same pod may have taken the row, and then somebody the slot.
            if self._mine() and all(row.slot != self.slot for _, row in targets(self._installation)):
                clear(self._installation, self.slot)
            for descriptor in self._maps.values():
                os.close(descriptor)
            self._maps = {}


def register(installation: Installation, plan: Plan, *, shared: bool) -> Registration:
    """Find a place. `shared`: with maps of its own, which count as this process's memory. Nothing is traced yet."""
    if not shared:
        return Registration(installation, 0, installation.maps, owned=False)
    slot = _free_slot(installation, plan)
    maps: dict[str, int] = {}
    try:
        maps["ring"] = bpfsys.map_create(bpfsys.MAP_RINGBUF, "ring", 0, 0, plan.ring_pages * 4096)
        maps["seen"] = bpfsys.map_create(bpfsys.MAP_ARRAY, "seen", 4, ctypes.sizeof(wire.Bucket), plan.buckets)
        maps["counters"] = bpfsys.map_create(
            bpfsys.MAP_PERCPU_HASH, "counters", 8, ctypes.sizeof(wire.Counters), CONTAINERS
        )
        return Registration(installation, slot, maps, owned=True)
    except OSError as error:
        for descriptor in maps.values():
            os.close(descriptor)
        raise kernel.KernelError(f"cannot make this agent's maps: {error.strerror}") from error


def targets(installation: Installation) -> Iterator[tuple[int, wire.Target]]:
    """List what is traced, by whomever: cgroup ID and row."""
    for cgroup in list(bpfsys.map_keys(installation.maps["targets"])):
        row = wire.Target()
        if bpfsys.map_lookup(installation.maps["targets"], ctypes.c_uint64(cgroup), row):
            yield cgroup, row


def clear(installation: Installation, slot: int) -> None:
    """Let go of the maps at a slot."""
    there = (ctypes.c_uint32 * 1)()
    for table in _OUTER:
        # Before 6.8 a deletion waits for a grace period even if there is nothing to delete.
        if bpfsys.map_lookup(installation.maps[table], ctypes.c_uint32(slot), there):
            bpfsys.map_discard(installation.maps[table], ctypes.c_uint32(slot))


def reap(installation: Installation, plan: Plan) -> None:
    """Let go of what ended agents left. The kernel side drops the row of a pod whose cgroup is gone."""
    used = {row.slot for _, row in targets(installation)}
    for slot in set(range(plan.targets)) - used:
        clear(installation, slot)


def _free_slot(installation: Installation, plan: Plan) -> int:
    used = {row.slot for _, row in targets(installation)}
    free = next((slot for slot in range(plan.targets) if slot not in used), None)
    if free is None:
        raise kernel.KernelError(f"{plan.targets} pods are traced on this node already")
    return free


def configure(installation: Installation, level: int | None = None, here: Whereabouts | None = None) -> None:
    """Make sure that a depth, or a hierarchy, is looked at. What was remembered of cgroups is void from then on.

    KernelError if another hierarchy is in use, or too many depths are.
    """
    config = wire.Config()
    bpfsys.map_lookup(installation.maps["configs"], _ZERO, config)
    if here is not None:
        if config.root and config.root != here.root:
            raise kernel.KernelError("other agents of this node trace another cgroup hierarchy")
        config.root, config.hierarchy = here.root, here.hierarchy
    if level is not None and level not in config.levels[: config.count]:
        if config.count == wire.LEVELS:
            raise kernel.KernelError(f"pods of {wire.LEVELS} depths are traced on this node already")
        config.levels[config.count] = level
        config.count += 1
    config.generation += 1
    bpfsys.map_update(installation.maps["configs"], _ZERO, config)


def locate(installation: Installation, find: Callable[[Whereabouts], Subject]) -> tuple[Whereabouts, Subject]:
    """Ask `find` in one hierarchy after another. KernelError as it raised it first."""
    problem: kernel.KernelError | None = None
    for hierarchy in range(wire.HIERARCHIES):
        here = _whereabouts(installation, hierarchy)
        try:
            return here, find(here)
        except kernel.KernelError as error:
            problem = problem or error
    assert problem is not None
    raise problem


def _whereabouts(installation: Installation, hierarchy: int) -> Whereabouts:
    bpfsys.map_update(installation.maps["whereabouts"], _ZERO, wire.Whereabouts(hierarchy=hierarchy))
    bpfsys.run_program(installation.programs["snoop_whereabouts"])
    found = wire.Whereabouts()
    bpfsys.map_lookup(installation.maps["whereabouts"], _ZERO, found)
    places = [Place(one.id, one.name.decode(errors="replace")) for one in found.cgroups if one.id]
    return Whereabouts(hierarchy, places, found.runtime_ns, found.runtime_root, found.root)
