"""Agents of one node share what they load: each traces its own pod, whatever becomes of the others."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from snoop_agent import kernel
from snoop_agent.owncgroup import OwnCgroup

pytestmark = [
    pytest.mark.bpf,
    pytest.mark.skipif(not kernel.may_trace(), reason="needs root: loads programs into the kernel"),
]

_NUMBERS = count(1)

# As an agent does it: finds its pod, shares, tells what it is asked for.
AGENT = """
import json, logging, sys, time
from pathlib import Path
from snoop_agent import kernel, subject, tracer
from snoop_agent.plan import Plan
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
pins, way, pod, hierarchy, walk = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
def find(here):
    if here.hierarchy != hierarchy:
        raise kernel.KernelError("another hierarchy")
    return subject.Subject(pod, len(here.places), whole=True)
def limited(count):
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
files = int(sys.argv[6]) if len(sys.argv) > 6 else 0
if files:
    find_ = tracer._share
    def sharing(*arguments):
        limited(files)
        try:
            return find_(*arguments)
        finally:
            limited(1024)
    tracer._share = sharing
running = tracer.start_tracer(find, attach=way, plan=Plan(way, ring_pages=64, walk_max=walk), pins=Path(pins))
print(json.dumps({"shared": running.shared}), flush=True)
for line in sys.stdin:
    if line == "read\\n":
        found = []
        while batch := running.poll(0.2):
            found += batch
        names = [one.asked.decode(errors="replace") for one in found if hasattr(one, "asked")]
        told = sorted({one.container for one in found})
        print(json.dumps({"names": names, "containers": told, "gaps": len(running.gaps())}), flush=True)
    elif line == "close\\n":
        break
running.close()
"""


class Agent:
    """An agent in a process of its own, and the pod that it traces."""

    def __init__(self, pins: Path, way: str, walk: int = 512, pod: OwnCgroup | None = None, files: int = 0) -> None:
        """`files`: how many descriptors its agent may have; 0: as many as it likes."""
        self.gone = pod is not None
        """Whether somebody else removes it, or has."""
        self.pod = pod or OwnCgroup("snoop-test", f"-share-{next(_NUMBERS)}")
        arguments = [pins, way, self.pod.identifier, self.pod.hierarchy, walk, files]
        self.process = subprocess.Popen(
            [sys.executable, "-c", AGENT, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.shared = bool(self._answer()["shared"])

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            assert self.process.stderr
            pytest.fail(self.process.stderr.read())
        found: dict[str, Any] = json.loads(line)
        return found

    def run(self, *command: str) -> None:
        subprocess.run(command, preexec_fn=self.pod.join, check=True, stdout=subprocess.DEVNULL)

    def read(self) -> dict[str, Any]:
        self._say("read")
        return self._answer()

    def _say(self, word: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def close(self) -> None:
        assert self.process.stdin
        if not self.process.stdin.closed:
            self.process.communicate("close\n")

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def bpffs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("bpffs")
    subprocess.run(["mount", "-t", "bpf", "bpf", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.fixture
def pins(bpffs: Path) -> Iterator[Path]:
    yield bpffs / "snoop"
    assert [str(one) for one in (bpffs / "snoop").rglob("*")] == [], "the last one out removes everything"


@pytest.fixture(params=["raw_tp", "tracepoint"])
def way(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    if found == "tracepoint" and not kernel.may_open_perf_events():
        pytest.skip("perf_event_paranoid forbids per-syscall tracepoints to this user")
    return found


@pytest.fixture
def start(pins: Path) -> Iterator[Callable[..., Agent]]:
    agents: list[Agent] = []

    def begin(way: str, **rest: Any) -> Agent:
        agents.append(Agent(pins, way, **rest))
        return agents[-1]

    yield begin
    # The pods of those that were killed end first: the kernel side forgets them, and then the last one is the last.
    for agent in sorted(agents, key=lambda agent: agent.process.poll() is None):
        agent.close()
        if not agent.gone:
            agent.pod.remove()


def test_three_share_one_set_and_each_is_told_its_own_pod_alone(
    way: str, pins: Path, start: Callable[..., Agent]
) -> None:
    agents = [start(way) for _ in range(3)]
    assert all(agent.shared for agent in agents)
    assert len(list(pins.iterdir())) == 1

    for index, agent in enumerate(agents):
        agent.run("cat", "/etc/hostname", f"/proc/sys/kernel/{('ostype', 'osrelease', 'version')[index]}")
    for index, agent in enumerate(agents):
        found = agent.read()
        assert found["containers"] == [agent.pod.identifier]
        assert "/etc/hostname" in found["names"]
        assert [name for name in found["names"] if name.startswith("/proc/sys/kernel/os") or "version" in name] == [
            f"/proc/sys/kernel/{('ostype', 'osrelease', 'version')[index]}"
        ]
        assert found["gaps"] == 0


def test_the_first_one_killed_leaves_no_hole_for_the_others(way: str, pins: Path, start: Callable[..., Agent]) -> None:
    first, second = start(way), start(way)
    first.kill()
    second.run("cat", "/etc/hostname")
    assert "/etc/hostname" in second.read()["names"]
    third = start(way)
    assert len(list(pins.iterdir())) == 1
    third.run("cat", "/etc/hosts")
    assert "/etc/hosts" in third.read()["names"]
    second.close()
    third.run("cat", "/etc/passwd")
    assert "/etc/passwd" in third.read()["names"]


def test_one_started_again_reads_what_its_killed_forerunner_did_not(start: Callable[..., Agent]) -> None:
    first, other = start("raw_tp"), start("raw_tp")
    first.run("cat", "/etc/hostname")
    first.kill()
    first.run("cat", "/etc/hosts")
    again = start("raw_tp", pod=first.pod)
    again.run("cat", "/etc/passwd")
    assert {"/etc/hostname", "/etc/hosts", "/etc/passwd"} <= set(again.read()["names"])
    # What was seen is seen anew: nobody knows what the first one had delivered.
    again.run("cat", "/etc/hostname")
    assert "/etc/hostname" in again.read()["names"]
    assert other.read()["names"] == []


def test_a_pod_that_is_gone_is_forgotten_though_its_agent_was_killed(pins: Path, start: Callable[..., Agent]) -> None:
    agent = start("raw_tp")
    agent.kill()
    assert len(list(pins.iterdir())) == 1
    agent.pod.remove()
    agent.gone = True
    # Whoever comes next finds that nobody is traced by it; of another kind, it removes it.
    other = start("raw_tp", walk=256)
    (kept,) = pins.iterdir()
    other.close()
    assert not kept.exists()


def test_two_kinds_live_side_by_side(pins: Path, start: Callable[..., Agent]) -> None:
    one, other = start("raw_tp", walk=512), start("raw_tp", walk=256)
    assert len(list(pins.iterdir())) == 2
    for agent in (one, other):
        agent.run("cat", "/etc/hostname")
        assert "/etc/hostname" in agent.read()["names"]
    one.close()
    assert len(list(pins.iterdir())) == 1
    other.run("cat", "/etc/hosts")
    assert "/etc/hosts" in other.read()["names"]


def test_half_an_installation_is_made_anew(pins: Path, start: Callable[..., Agent]) -> None:
    first = start("raw_tp")
    (home,) = pins.iterdir()
    first.kill()
    first.pod.remove()
    first.gone = True
    # As if it had been killed before the last name was pinned.
    (home / "manifest").unlink()
    second = start("raw_tp")
    assert (home / "manifest").exists()
    second.run("cat", "/etc/hostname")
    assert "/etc/hostname" in second.read()["names"]


def test_what_is_not_whole_and_traces_is_left_alone(pins: Path, start: Callable[..., Agent]) -> None:
    first = start("raw_tp")
    (home,) = pins.iterdir()
    manifest = home / "manifest"
    beside = home / "aside"
    manifest.rename(beside)
    second = start("raw_tp")
    assert not second.shared
    first.run("cat", "/etc/hostname")
    found = first.read()
    assert "/etc/hostname" in found["names"]
    assert found["gaps"] == 1, "it says that what it depends on was touched"
    second.close()
    first.run("cat", "/etc/hosts")
    assert "/etc/hosts" in first.read()["names"]
    beside.rename(manifest)
    assert first.read()["gaps"] == 0


def test_one_that_cannot_open_it_all_takes_nothing_from_the_others(pins: Path, start: Callable[..., Agent]) -> None:
    first = start("raw_tp")
    second = start("raw_tp", files=24)
    assert not second.shared
    first.run("cat", "/etc/hostname")
    found = first.read()
    assert "/etc/hostname" in found["names"]
    assert found["gaps"] == 0
    assert len(list(pins.iterdir())) == 1


def test_a_second_agent_of_one_pod_takes_its_place_and_nobody_elses(start: Callable[..., Agent]) -> None:
    first, other = start("raw_tp"), start("raw_tp")
    second = start("raw_tp", pod=first.pod)
    first.run("cat", "/etc/hostname")
    assert first.read() == {"names": [], "containers": [], "gaps": 1}
    assert "/etc/hostname" in second.read()["names"]
    first.close()
    second.run("cat", "/etc/hosts")
    other.run("cat", "/etc/passwd")
    assert "/etc/hosts" in second.read()["names"]
    assert "/etc/passwd" in other.read()["names"]


def test_what_is_no_agents_is_not_touched(pins: Path, start: Callable[..., Agent]) -> None:
    theirs = pins / "theirs"
    theirs.mkdir(parents=True)
    start("raw_tp").close()
    assert theirs.exists()
    theirs.rmdir()


def test_rings_of_the_killed_go_with_their_pods(pins: Path, start: Callable[..., Agent]) -> None:
    killed, living = start("raw_tp"), start("raw_tp")
    (home,) = pins.iterdir()
    killed.kill()
    killed.pod.remove()
    killed.gone = True
    assert len(list((home / "rings").iterdir())) == 2
    third = start("raw_tp")
    assert {one.name for one in (home / "rings").iterdir()} == {str(one.pod.identifier) for one in (living, third)}


def test_one_that_comes_while_another_loads_waits_for_it(pins: Path) -> None:
    pods = [OwnCgroup("snoop-test", f"-share-{next(_NUMBERS)}") for _ in range(3)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", AGENT, str(pins), "raw_tp", str(pod.identifier), str(pod.hierarchy), "512"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for pod in pods
    ]
    for process in processes:
        assert process.stdout
        assert json.loads(process.stdout.readline()) == {"shared": True}
    assert len(list(pins.iterdir())) == 1
    words = [process.communicate("close\n")[1] for process in processes]
    assert sum("loaded the programs" in one for one in words) == 1
    for pod in pods:
        pod.remove()


def test_without_a_bpffs_each_loads_its_own_and_says_so(tmp_path: Path) -> None:
    pod = OwnCgroup("snoop-test", f"-share-{next(_NUMBERS)}")
    agent = Agent(tmp_path / "snoop", "raw_tp", pod=pod)
    assert not agent.shared
    agent.run("cat", "/etc/hostname")
    assert "/etc/hostname" in agent.read()["names"]
    _, words = agent.process.communicate("close\n")
    assert "cannot be shared with this node's other agents" in words
    assert "is in no bpffs" in words
    assert not (tmp_path / "snoop").exists()
    pod.remove()
