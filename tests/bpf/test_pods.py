"""A pod's cgroup with containers below it: who counts, and what was there before the hooks."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from snoop_agent import kernel, wire
from snoop_agent.owncgroup import OwnCgroup

pytestmark = [
    pytest.mark.bpf,
    pytest.mark.skipif(not kernel.may_trace(), reason="needs root: loads programs into the kernel"),
]

# The tracer lives in mount and PID namespaces of its own, as in a container: who started it lives in the runtime's, and
# what it traces has no PID that it could see.
_TRACER = """
import json, os, sys
from snoop_agent import subject, tracer
from snoop_agent.tracing import Event
pod, own = int(sys.argv[1]), int(sys.argv[2])
def find(here):
    return subject.Subject(pod, len(here.places), own=own, runtime=here.runtime)
running = tracer.start_tracer(find, attach=sys.argv[3])
print("attached", flush=True)
for line in sys.stdin:
    if line == "sweep\\n":
        running.sweep()
    events = []
    while batch := running.poll(0.05):
        events += batch
    print(json.dumps({
        "alive": sorted(running.alive()),
        "events": [
            [one.container, one.kinds, one.flags, one.asked.decode(), one.target.decode(), one.error]
            for one in events if isinstance(one, Event)
        ],
    }), flush=True)
running.close()
"""


@dataclass
class Pod:
    cgroup: OwnCgroup
    tracer: subprocess.Popen[str] | None = None

    def container(self, name: str) -> int:
        os.mkdir(f"{self.cgroup.name}/{name}", dir_fd=self.cgroup._parent)
        return os.stat(f"{self.cgroup.name}/{name}", dir_fd=self.cgroup._parent).st_ino

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        def enter() -> None:
            self.cgroup._write(f"{self.cgroup.name}/{name}/cgroup.procs", "0")

        return subprocess.Popen(command, preexec_fn=enter, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, name: str, *command: str) -> None:
        with self.start(name, *command) as child:
            child.communicate()
            assert child.returncode == 0

    def ask(self, what: str = "") -> dict[str, Any]:
        assert self.tracer
        assert self.tracer.stdin
        assert self.tracer.stdout
        self.tracer.stdin.write(what + "\n")
        self.tracer.stdin.flush()
        answer: dict[str, Any] = json.loads(self.tracer.stdout.readline())
        return answer


@pytest.fixture(params=["raw_tp", "tracepoint"])
def pod(request: pytest.FixtureRequest) -> Iterator[Pod]:
    cgroup = OwnCgroup("snoop-test", "-pod")
    pod = Pod(cgroup)
    app, own = pod.container("app"), pod.container("own")
    assert app < own
    unshare = shutil.which("unshare")
    assert unshare
    private = [unshare, "--mount", "--pid", "--fork", "--mount-proc"]
    command = [*private, sys.executable, "-c", _TRACER, str(cgroup.identifier), str(own), request.param]
    pod.tracer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert pod.tracer.stdout
        assert pod.tracer.stdout.readline() == "attached\n"
        yield pod
    finally:
        pod.tracer.communicate()
        cgroup.remove()


def test_what_a_runtime_does_in_its_own_namespace_is_not_the_containers(pod: Pod, tmp_path: Path) -> None:
    for name in ("host", "image"):
        (tmp_path / name).write_text("x")
    pod.run("app", "/bin/cat", f"{tmp_path}/host")
    assert pod.ask()["events"] == []
    pod.run("app", "/usr/bin/unshare", "-m", "/bin/cat", f"{tmp_path}/image")
    told = pod.ask()["events"]
    first = told[0]
    assert (first[1], first[3]) == (wire.EXECUTE, "/bin/cat")
    assert f"{tmp_path}/image" in {event[3] for event in told}
    assert not [event for event in told if event[3] == f"{tmp_path}/host"]


def test_the_agents_own_container_is_not_recorded(pod: Pod, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    pod.run("own", "/usr/bin/unshare", "-m", "/bin/cat", f"{tmp_path}/file")
    assert pod.ask() == {"alive": [], "events": []}


def test_what_was_open_before_is_told_as_held(pod: Pod, tmp_path: Path) -> None:
    (tmp_path / "held").write_text("x")
    script = f"cd {tmp_path}; exec 5<{tmp_path}/held; echo ready; read line"
    with pod.start("app", "/usr/bin/unshare", "-m", "/bin/bash", "-c", script) as child:
        assert child.stdout
        assert child.stdout.readline() == b"ready\n"
        pod.ask()
        told = pod.ask("sweep")
        assert len(told["alive"]) == 1
        held = {event[4]: event[1] for event in told["events"]}
        assert all(kinds & wire.HELD for kinds in held.values())
        assert held[f"{tmp_path}/held"] == wire.HELD | wire.READ
        assert held[str(tmp_path)] & wire.CHDIR
        bash = os.path.realpath("/bin/bash")
        kinds = {event[1] for event in told["events"] if event[4] == bash}
        assert {wire.HELD | wire.EXECUTE, wire.HELD | wire.MAP} <= kinds
        assert any("libc.so.6" in path for path in held)
        child.communicate(b"\n")
    assert pod.ask()["alive"] == []


def test_a_process_whose_first_thread_has_ended_is_alive(pod: Pod, tmp_path: Path) -> None:
    source = """#include <pthread.h>
    #include <stdio.h>
    #include <unistd.h>
    static void *wait_for_a_byte(void *_) { char c; puts("ready"); fflush(stdout); read(0, &c, 1); _exit(0); }
    int main(void) { pthread_t t; pthread_create(&t, 0, wait_for_a_byte, 0); pthread_exit(0); }"""
    program = tmp_path / "program"
    subprocess.run(["cc", "-w", "-pthread", "-o", program, "-xc", "-"], input=source.encode(), check=True)
    with pod.start("app", "/usr/bin/unshare", "-m", str(program)) as child:
        assert child.stdout
        assert child.stdout.readline() == b"ready\n"
        while (Path("/proc") / str(child.pid) / "task" / str(child.pid) / "status").read_text().find("Z (zombie)") < 0:
            time.sleep(0.01)
        assert len(pod.ask()["alive"]) == 1
        child.communicate(b"\n")
    assert pod.ask()["alive"] == []
