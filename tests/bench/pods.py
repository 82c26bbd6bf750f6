"""Pods without Kubernetes: a cgroup each, containers in mount namespaces of their own, real `snoop-agent`s in them."""

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import machine
from tests.bench.cgroups import PURPOSE, Group, Tree
from tests.bench.containers import (
    FILES,
    HOME,
    Load,
    build_load,
    enter_namespace,
    entering,
    load_command,
    mount,
    unmount,
)
from tests.bench.ingest import Ingest
from tests.bench.sidecar import LOG, Agent, command, variables


@dataclass(frozen=True, slots=True)
class Setup:
    """What is tried."""

    agent: Path
    """`snoop-agent`."""
    pins: bool
    """Whether sidecars share programs through a bpffs."""


class Node:
    """The stand-in for a node: cgroups, a mount namespace, an overlay for containers, room on disk for agents.

    The containers' overlay lies over this machine's root, so that what an image holds is there; what is written to it
    goes to a tmpfs.

    Everything goes when it is closed; when it is killed, the mounts and processes go with it and the next one removes
    the rest.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        _sweep(Path(tempfile.gettempdir()))
        enter_namespace()
        self.scratch = Path(tempfile.gettempdir()) / f"{PURPOSE}-{os.getpid()}"
        bpffs, self.image, layers = (self.scratch / name for name in ("bpf", "image", "layers"))
        for place in (self.scratch, bpffs, self.image, layers):
            place.mkdir()
        self._mounted: list[Path] = []
        self._mount("bpf", bpffs)
        self.pins = bpffs / "snoop"
        self.pins.mkdir()
        self._mount("tmpfs", layers, "nr_inodes=0,size=75%")
        for name in ("upper", "work"):
            (layers / name).mkdir()
        self._mount("overlay", self.image, f"lowerdir=/,upperdir={layers}/upper,workdir={layers}/work")
        place = self.image / HOME.relative_to("/")
        (place / FILES.name).mkdir(parents=True)
        self.load = build_load(place)
        """For what runs outside of containers; in them it is HOME's."""
        if not (machine.TRACEFS / "events").is_dir():
            self._mount("tracefs", machine.TRACEFS)
        self._numbers = itertools.count(1)
        self.ingest = Ingest(self.scratch)
        self.tree = Tree()

    def _mount(self, kind: str, where: Path, options: str = "") -> None:
        mount(kind, where, options)
        self._mounted.append(where)

    def close(self) -> None:
        """Take everything away."""
        try:
            self.tree.remove()
            self.ingest.close()
        finally:
            for where in reversed(self._mounted):
                unmount(where)
            shutil.rmtree(self.scratch, ignore_errors=True)

    def left_pinned(self) -> list[str]:
        """Take away what no agent uses and none has removed; name it."""
        left = [one for one in self.pins.rglob("*") if not one.is_dir()]
        for one in left:
            one.unlink()
        return [one.name for one in left]

    @contextlib.contextmanager
    def pod(self) -> Iterator["Pod"]:
        """A new pod; its processes end with it."""
        pod = Pod(self, next(self._numbers))
        try:
            yield pod
        finally:
            pod.close()

    def make_files(self, count: int, first: int = 0) -> None:
        """Make the files `first` … `first + count - 1` that loads open."""
        place = self.image / FILES.relative_to("/")
        subprocess.run(load_command("make", {"n": count, "f": first}, self.load, place), check=True)


class Pod:
    """A pod's cgroup, with containers below it."""

    def __init__(self, node: Node, number: int) -> None:
        self.node = node
        self.uid = str(uuid.uuid4())
        self._path = f"kubepods/burstable/pod{self.uid}"
        self.data = node.scratch / f"data-{number}"
        self.data.mkdir()
        node.tree.group(self._path)
        self._running: list[subprocess.Popen[str]] = []
        self._agents: list[Agent] = []

    def container(self, name: str) -> Group:
        """Make a container's cgroup."""
        return self.node.tree.group(f"{self._path}/{name}")

    def start(
        self,
        group: Group,
        command: Sequence[str],
        *,
        root: Path | None = None,
        log: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """Run a command in a container. Its stdin and stdout are pipes. `root`: its tree, if not this machine's."""
        with open(log, "wb") if log else contextlib.nullcontext() as errors:  # noqa: PTH123
            child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=env,
                preexec_fn=entering(group, root),
            )
        self._running.append(child)
        return child

    def agent(
        self, attach: str, *, interval: str = "30s", group: Group | None = None, ring_pages: int = 0, **settings: str
    ) -> Agent:
        """Start a sidecar. `settings`: more of its variables, without SNOOP_. `ring_pages`: 0 is the default."""
        setup, group = self.node.setup, group or self.container("snoop-agent")
        environment = {
            **variables(self.data, self.uid, attach, interval),
            **self.node.ingest.variables(),
            **({"SNOOP_PINS": str(self.node.pins)} if setup.pins else {}),
            **{f"SNOOP_{name.upper()}": value for name, value in settings.items()},
        }
        process = self.start(group, command(setup.agent, ring_pages), log=self.data / LOG, env=environment)
        agent = Agent(process, group, self.data, self.node.ingest)
        self._agents.append(agent)
        return agent

    def load(self, group: Group, mode: str, **options: float | str) -> Load:
        """Start a load in a container; `options` are load.c's by letter."""
        return Load(self.start(group, load_command(mode, options), root=self.node.image))

    def close(self) -> None:
        """End everything in it; the agents in peace, so that they leave nothing pinned."""
        ours = [agent.process for agent in self._agents]
        for child in self._running:
            if child not in ours:
                child.kill()
        for agent in self._agents:
            agent.end()
        self.node.tree.drop(self._path)
        for child in self._running:
            for pipe in (child.stdin, child.stdout):
                if pipe:
                    with contextlib.suppress(OSError):
                        pipe.close()
            child.wait()
        shutil.rmtree(self.data, ignore_errors=True)


def _sweep(base: Path) -> None:
    """Remove what a killed run left: its mounts went with its namespace."""
    for left in base.glob(f"{PURPOSE}-*"):
        maker = left.name.removeprefix(f"{PURPOSE}-")
        if maker.isdecimal() and not Path("/proc", maker).exists():
            shutil.rmtree(left, ignore_errors=True)
