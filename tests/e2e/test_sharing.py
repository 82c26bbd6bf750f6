"""Agents of one node load the kernel side once, for all of them."""

from tests.e2e.conftest import Space, agent_status, call, eventually, kill_agent, shell_pod

PINS = "/sys/fs/bpf/snoop"
NAMES = ("one", "two", "three")


def _script(name: str) -> str:
    return f"touch /tmp/{name}-early; while [ ! -e /tmp/go ]; do sleep 0.2; done; cat /etc/issue; sleep 3600"


def _pinned(*below: str) -> list[str]:
    return call("tests/cluster/enter", "ls", "/".join((PINS, *below)), check=False).split()


def _sets() -> list[str]:
    return [name for name in _pinned() if name.startswith(("tracepoint-", "raw_tp-", "fexit-"))]


def test_three_pods_share_one_set_of_programs_and_outlive_the_first_ones_agent(space: Space) -> None:
    space.profile()
    # What earlier agents left behind when they were killed, the next one takes over, and takes away.
    if _sets():
        space.apply(shell_pod("zero", "sleep 3600"))
        space.running("zero")
        space.kubectl("delete", "pod", "zero", "--wait")
    eventually("a node without programs", lambda: not _sets())
    for name in NAMES:
        space.apply(shell_pod(name, _script(name)))
        space.running(name)
    (home,) = _sets()
    assert len(_pinned(home, "rings")) == len(NAMES)
    logs = [space.kubectl("logs", name, "-c", "snoop-agent") for name in NAMES]
    assert ["loaded the programs" in text for text in logs] == [True, False, False]
    assert ["using the programs" in text for text in logs] == [False, True, True]

    # The node's OOM killer takes the one that loaded them.
    kill_agent(space.pod("one"))
    for name in ("two", "three"):
        space.kubectl("exec", name, "-c", "app", "--", "touch", "/tmp/go")
        eventually(f"what {name} used", lambda name=name: "/etc/issue" in space.files(name, "app"))
        assert f"/tmp/{name}-early" in space.files(name, "app")
        (report,) = space.reports(name)
        assert report.gaps == []
        others = {f"/tmp/{other}-early" for other in NAMES if other != name}
        assert not others & set(space.files(name))
    eventually("the killed one's successor", lambda: agent_status(space.pod("one"))["restartCount"] == 1)
    assert _sets() == [home]

    # The last one out removes everything.
    space.kubectl("delete", "pods", "--all", "--wait")
    eventually("an empty directory", lambda: not _sets())
