"""What a profiled pod uses arrives in the store and in the profile's status."""

import json
import re
import time

from tests.e2e.conftest import AGENT, Space, agent_status, eventually, injected, kubectl, shell_pod

from snoop_report.model import GapCode

FIRST = "/etc/debian_version"
"""Read by the script's first line, with the shell's own `read`: no process is started for it."""
SLEEP = f"read x < {FIRST}; while :; do sleep 1; done"


def test_the_agent_is_a_native_sidecar_and_the_first_init_container(space: Space) -> None:
    space.profile()
    own = {"name": "own-init", "image": "debian:bookworm-slim", "command": ["cat", "/etc/issue"]}
    space.apply(shell_pod("app", SLEEP, initContainers=[own]))
    pod = space.running("app")
    assert [one["name"] for one in pod["spec"]["initContainers"]] == [AGENT, "own-init"]
    agent = pod["spec"]["initContainers"][0]
    assert agent["restartPolicy"] == "Always"
    assert agent["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["BPF", "PERFMON"]}
    assert agent["securityContext"]["readOnlyRootFilesystem"] is True
    assert agent_status(pod)["started"] is True
    eventually("the init container's file is known", lambda: "/etc/issue" in space.files("app", "own-init"))


def test_the_entrypoints_very_first_instructions_are_in_the_report(space: Space) -> None:
    space.profile()
    space.apply(shell_pod("app", SLEEP))
    space.running("app")
    files = eventually("a report", lambda: space.files("app", "app"))
    assert {"/bin/sh", "/usr/bin/dash", FIRST, "/etc/ld.so.cache"} <= files
    assert any(re.fullmatch(r"/usr/lib/[^/]*/ld-linux[^/]*", path) for path in files), files
    assert any(path.endswith("/libc.so.6") for path in files)


def test_nothing_of_the_runtime_the_agent_or_another_pod_is_in_the_report(space: Space) -> None:
    space.profile()
    space.apply(
        shell_pod("app", SLEEP),
        shell_pod("other", "cat /etc/hostname; while :; do cat /etc/shadow > /dev/null; sleep 1; done", labels={}),
    )
    space.running("app")
    space.running("other")
    eventually("a report", lambda: space.files("app"))
    time.sleep(2)
    (report,) = space.reports()
    assert [one.name for one in report.containers] == ["app"]
    files = set(report.containers[0].files)
    assert not {"/etc/shadow", "/etc/hostname"} & files
    assert not [path for path in files if re.search(r"runc|containerd|snoop|/opt/|python", path)]


def test_two_containers_are_told_apart_by_name_image_and_digest(space: Space, nginx_image: str) -> None:
    space.profile()
    second = {"name": "web", "image": nginx_image}
    pod = shell_pod("app", "cat /etc/issue; " + SLEEP)
    pod["spec"]["containers"].append(second)
    space.apply(pod)
    space.running("app")
    eventually("both are known", lambda: {one.name for one in space.containers("app")} == {"app", "web"})
    eventually("nginx has read its configuration", lambda: "/etc/nginx/nginx.conf" in space.files("app", "web"))
    by_name = {one.name: one for one in space.containers("app")}
    assert "/etc/issue" in by_name["app"].files
    assert "/etc/issue" not in by_name["web"].files
    assert "/etc/nginx/nginx.conf" not in by_name["app"].files
    assert by_name["app"].digest.startswith("sha256:")
    assert by_name["web"].digest.startswith("sha256:")
    assert by_name["app"].digest != by_name["web"].digest
    assert "debian" in by_name["app"].image
    assert by_name["web"].digest in nginx_image
    images = eventually(
        "status lists both", lambda: len(found) == 2 and found if (found := space.status()["images"]) else 0
    )
    assert {tuple(one["containers"]) for one in images} == {("app",), ("web",)}


def test_a_container_that_crashes_goes_on_being_recorded(space: Space) -> None:
    space.profile()
    again = f"if [ -e /data/second ]; then cat /etc/issue; {SLEEP}; fi"
    script = f"{again}; : > /data/second; cat /etc/passwd; exit 1"
    space.apply(
        shell_pod(
            "app",
            script,
            container={"volumeMounts": [{"name": "data", "mountPath": "/data"}]},
            volumes=[{"name": "data", "emptyDir": {}}],
        )
    )
    eventually("the second run's file is known", lambda: "/etc/issue" in space.files("app", "app"), 60)
    runs = [one for one in space.containers("app") if one.name == "app"]
    assert len({one.id for one in runs}) == 2
    assert len({one.digest for one in runs}) == 1
    assert "/etc/passwd" in space.files("app", "app")
    eventually("nothing is missing", lambda: space.condition("Complete")["status"] == "True", 45)


def test_status_columns_and_conditions_tell_it(space: Space) -> None:
    space.profile()
    space.apply(shell_pod("app", SLEEP))
    space.running("app")
    space.kubectl("wait", "--for=condition=Recording", "snoopprofile/profile", "--timeout=60s")
    eventually("complete", lambda: space.condition("Complete")["status"] == "True")
    head, line = space.kubectl("get", "sp").strip().splitlines()
    assert head.split() == ["NAME", "PHASE", "PODS", "IMAGES", "FILES", "USED", "UNUSED", "COMPLETE", "AGE"]
    # USED and UNUSED may be empty here: tests/e2e/test_inventory.py is about them.
    cells = {name: line[head.index(name) :].split("  ")[0].strip() for name in head.split()}
    assert [cells[name] for name in ("NAME", "PHASE", "PODS", "IMAGES")] == ["profile", "Recording", "1/1", "1"]
    assert int(cells["FILES"]) == len(space.files("app")) > 5
    assert cells["COMPLETE"] == "True"
    told = space.kubectl("describe", "sp", "profile")
    assert "Recording" in told
    eventually(
        "an event on the profile",
        lambda: space.kubectl("get", "events", "--field-selector=involvedObject.kind=SnoopProfile", "-o", "name"),
    )
    eventually(
        "an event on the pod",
        lambda: "snoop" in space.kubectl("get", "events", "--field-selector=involvedObject.name=app").lower(),
    )


def test_a_pod_deleted_five_seconds_after_its_start_delivers_its_report(space: Space) -> None:
    space.profile()
    obedient = "trap 'read x < /etc/issue; exit 0' TERM; " + SLEEP.replace("sleep 1", "sleep 0.1")
    space.apply(shell_pod("obedient", obedient), shell_pod("stubborn", "trap '' TERM; cat /etc/passwd; " + SLEEP))
    space.running("obedient")
    space.running("stubborn")
    time.sleep(5)
    space.kubectl("delete", "pod", "obedient", "stubborn", "--wait")
    # What the app read on its way out is there too: native sidecars end last.
    eventually("the last words", lambda: {FIRST, "/etc/issue"} <= space.files("obedient", "app"), 20)
    eventually("the stubborn one's", lambda: {FIRST, "/etc/passwd"} <= space.files("stubborn", "app"), 20)
    time.sleep(1)
    assert not [gap for report in space.reports() for gap in report.gaps]


def test_a_force_deleted_pod_has_delivered_what_it_saw_until_a_second_before(space: Space) -> None:
    space.profile()
    space.apply(shell_pod("app", "sleep 6; read x < /etc/issue; " + SLEEP))
    space.running("app")
    time.sleep(7.5)
    space.kubectl("delete", "pod", "app", "--force", "--grace-period=0")
    eventually("what it read a second before", lambda: "/etc/issue" in space.files("app", "app"), 20)


def test_what_a_force_deleted_pod_does_until_it_is_killed_is_known_or_a_gap(space: Space) -> None:
    """The app, which ignores SIGTERM, is killed after two seconds; its API object and so its token are gone at once."""
    space.profile()
    space.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "made"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
        }
    )
    touch = "trap '' TERM; i=0; while :; do i=$((i+1)); : > /made/$i; sleep 0.2; done"
    volumes = [{"name": "made", "persistentVolumeClaim": {"claimName": "made"}}]
    mount = {"volumeMounts": [{"name": "made", "mountPath": "/made"}]}
    space.apply(
        shell_pod("app", touch, volumes=volumes, container=mount),
        shell_pod("witness", SLEEP, labels={}, volumes=volumes, container=mount),
    )
    space.running("app")
    space.running("witness")
    eventually("it is known", lambda: "/made/5" in space.files("app", "app"))
    space.kubectl("delete", "pod", "app", "--force", "--grace-period=0")

    def truth() -> set[str]:
        return {f"/made/{name}" for name in space.kubectl("exec", "witness", "--", "ls", "/made").split()}

    def dead() -> bool:
        before = truth()
        time.sleep(3)
        return truth() == before

    eventually("it is dead", dead)

    def told() -> bool:
        return truth() <= space.files("app", "app") or any(report.gaps for report in space.reports("app"))

    eventually("all of it, or a gap", told, 45)


def test_an_agent_that_is_told_to_end_before_its_pod_goes_on_for_a_while_and_says_so(space: Space) -> None:
    space.profile()
    space.apply(shell_pod("app", "while [ ! -e /tmp/go ]; do sleep 0.2; done; sleep 5; read x < /etc/issue; " + SLEEP))
    space.running("app")
    eventually("a report", lambda: "/bin/sh" in space.files("app", "app"))
    space.kubectl("exec", "app", "-c", "app", "--", "touch", "/tmp/go")
    end = "import os; os.kill(1, 15)"
    space.kubectl("exec", "app", "-c", AGENT, "--", "/usr/bin/python3", "-c", end)
    eventually("what was read after that", lambda: "/etc/issue" in space.files("app", "app"), 15)

    def gaps() -> set[GapCode]:
        return {gap.code for report in space.reports("app") for gap in report.gaps}

    eventually("that it ended first", lambda: gaps() == {GapCode.LATE_END, GapCode.AGENT_RESTARTED}, 40)


def test_a_job_completes(space: Space) -> None:
    space.profile()
    pod = shell_pod("job", "cat /etc/issue", restartPolicy="Never")
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "job"},
        "spec": {"template": {"metadata": pod["metadata"], "spec": pod["spec"]}},
    }
    del job["spec"]["template"]["metadata"]["name"]
    space.apply(job)
    space.kubectl("wait", "--for=condition=Complete", "job/job", "--timeout=60s")
    (made,) = space.pods("app=app")
    assert injected(made)
    eventually("its report", lambda: "/etc/issue" in space.files(made["metadata"]["name"], "app"))
    report = eventually("final", lambda: [one for one in space.reports() if not one.gaps])
    assert report


def test_an_app_on_port_9090_is_not_disturbed(space: Space, python_image: str) -> None:
    space.profile()
    server = {
        "image": python_image,
        "command": ["/usr/bin/python3", "-m", "http.server", "9090", "--directory", "/usr/share"],
        "readinessProbe": {"httpGet": {"port": 9090, "path": "/"}, "periodSeconds": 1},
    }
    space.apply(shell_pod("app", "", container=server))
    pod = space.running("app")
    assert injected(pod)
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    # Exec'd processes are the container's own: they run in production.
    space.kubectl("exec", "app", "-c", "app", "--", "cat", "/etc/issue")
    eventually("what was exec'd", lambda: "/etc/issue" in space.files("app", "app"))


def test_the_report_file_in_the_pod_is_upstreams_format(space: Space) -> None:
    space.profile()
    space.apply(shell_pod("app", SLEEP))
    space.running("app")
    text = eventually(
        "the file is there",
        lambda: kubectl("exec", "-n", space.name, "app", "-c", AGENT, "--", "cat", "/data/snoop-report.json"),
    )
    document = json.loads(text)
    assert document["pod_name"] == "app"
    assert document["namespace"] == space.name
    assert document["agent"]["attach"] in ("tracepoint", "raw_tp")


def test_a_guaranteed_pod_stays_guaranteed(space: Space) -> None:
    space.profile()
    amount = {"cpu": "100m", "memory": "64Mi"}
    space.apply(shell_pod("app", SLEEP, container={"resources": {"requests": amount, "limits": amount}}))
    pod = space.running("app")
    assert injected(pod)
    assert pod["status"]["qosClass"] == "Guaranteed"
