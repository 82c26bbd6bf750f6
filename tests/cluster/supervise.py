"""The cluster's first process. It makes namespaces of its own (network, mounts, processes, IPC, host name), sets the
node up in them, starts the programs, and restarts one that dies.

Being PID 1 of a PID namespace makes the end simple: when this process goes, by whatever signal, the kernel kills all
that ever ran below it, and with the last process go its mounts, links, addresses, iptables rules and sockets.

`supervise.py` wants what `up` has laid in STATE: etc/, scripts/, parts/. It writes STATE/pid, a line to STATE/progress
for each step, and at last STATE/ready or STATE/failed.
"""

import ctypes
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import cgroups
import components
import settings
from api import Api, ApiError

# sched.h
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# What kubelet wants these to be, and would set for the whole machine (setupKernelTunables): it is shown files
# that say so already.
KUBELET_TUNABLES = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}

RESTART_SECONDS = 1.0
PATIENCE_SECONDS = 120.0


class StartError(Exception):
    """The cluster cannot come up; the message says why, with the log's last lines."""


def start_time(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise StartError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")


class Node:
    def __init__(self, values: dict[str, str]) -> None:
        self.values = values
        self.state = Path(values["STATE"])
        self.environment = components.environment(values)
        self.commands = components.commands(values)
        self.running: dict[int, str] = {}

    def progress(self, text: str) -> None:
        with (self.state / "progress").open("a") as file:
            file.write(text + "\n")

    # The node's own view of the machine

    def set_up_mounts(self) -> None:
        """The host's mounts go on appearing here; none made here appears on the host. Inside, everything is where a
        node has it: /var/lib/kubelet, /var/lib/containerd, /var/log/pods, /run/containerd."""
        state = self.state
        run("mount", "--make-rslave", "/")
        run("mount", "--make-rshared", "/")  # kubelet hands mounts on to containers
        run("mount", "-t", "proc", "proc", "/proc")
        for name, value in KUBELET_TUNABLES.items():
            decoy = state / "parts" / name.replace("/", ".")
            decoy.write_text(value)
            run("mount", "--bind", str(decoy), f"/proc/sys/{name}")
        if not os.path.ismount("/sys/kernel/tracing"):
            run("mount", "-t", "tracefs", "tracefs", "/sys/kernel/tracing")
        if Path("/sys/fs/bpf").is_dir():  # an instance of our own: what pods pin goes with the cluster
            run("mount", "-t", "bpf", "bpf", "/sys/fs/bpf")
        for part in ("kube", "debs"):
            run("mount", "--bind", (state / f"parts/{part}.path").read_text().strip(), str(state / f"parts/{part}"))
        lib = state / "lib"
        run("mount", "--rbind", str(state), str(lib / state.name))
        run("mount", "--bind", str(state / "log"), "/var/log")
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
        run("mount", "--bind", str(state / "etc/hosts"), "/etc/hosts")
        run("mount", "--rbind", str(lib), "/var/lib")

    def set_up_network(self) -> None:
        """`up` pushes one end of a pair of links into this namespace. Beyond it there is the host and nothing else."""
        self.wait(lambda: Path("/proc/net/dev").read_text().find("eth0:") >= 0, "the link to the host", 10)
        for command in (
            "link set lo up",
            f"address replace {self.values['NODE_IP']}/{self.values['LINK_PREFIX']} dev eth0",
            "link set eth0 up",
            "route replace unreachable default",
        ):
            run("ip", *command.split())
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        self.choose_iptables()

    def choose_iptables(self) -> None:
        """A kernel may know nf_tables, or the older tables, or both."""
        place = self.state / "parts/iptables"
        for flavour in ("nft", "legacy"):
            program = f"/usr/sbin/xtables-{flavour}-multi"
            if subprocess.run((program, "iptables", "-t", "nat", "-S"), capture_output=True).returncode == 0:
                for name in ("iptables", "ip6tables"):
                    for suffix in ("", "-save", "-restore"):
                        (place / (name + suffix)).symlink_to(program)
                return
        raise StartError("this kernel has neither nf_tables nor the older iptables tables (NAT is needed for Services)")

    # Programs

    def start(self, name: str) -> None:
        with (self.state / f"log/{name}.log").open("ab") as log:
            process = subprocess.Popen(
                self.commands[name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd="/",
                start_new_session=True,
            )
        self.running[process.pid] = name

    def check(self) -> None:
        """While the cluster comes up, a program that ends is an error."""
        for pid, name in list(self.running.items()):
            if os.waitpid(pid, os.WNOHANG)[0]:
                del self.running[pid]
                raise StartError(f"{name} ended. The end of its log:\n{self.tail(name)}")

    def tail(self, name: str) -> str:
        lines = (self.state / f"log/{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:])

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
        begun = time.monotonic()
        said = begun
        while True:
            self.check()
            try:
                if condition():
                    return
            except (OSError, http.client.HTTPException, ApiError) as error:
                reason = str(error)
            else:
                reason = "not yet"
            now = time.monotonic()
            if now - begun > seconds:
                raise StartError(f"{what}: still not there after {seconds:.0f} s ({reason})")
            if now - said > 20:
                said = now
                self.progress(f"waiting for {what}: {reason}")
            time.sleep(0.1)

    def answers(self, address: str, path: str) -> bool:
        connection = http.client.HTTPConnection(address, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        finally:
            connection.close()

    def bring_up(self) -> None:
        begun = time.monotonic()

        def stage(text: str) -> None:
            self.progress(f"{text} ({time.monotonic() - begun:.1f} s)")

        for name in ("etcd", "registry", "containerd"):
            self.start(name)
        self.wait(lambda: self.answers("127.0.0.1:2379", "/health"), "etcd")
        self.start("kube-apiserver")
        registry = f"{self.values['NODE_IP']}:{self.values['REGISTRY_PORT']}"
        self.wait(lambda: self.answers(registry, "/v2/"), "the registry")
        self.wait(lambda: Path("/run/containerd/containerd.sock").exists(), "containerd")
        self.import_pause()
        stage("etcd, registry and containerd run")

        api = Api(self.state / "etc/admin.kubeconfig")
        self.wait(lambda: api.call("GET", "/readyz") == "ok", "the API server")
        stage("the API server is ready")
        for name in ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "provisioner"):
            self.start(name)
        manifests = self.state / "etc/manifests"
        kubectl = str(self.state / "parts/kube/bin/kubectl")
        run(kubectl, f"--kubeconfig={self.state}/etc/admin.kubeconfig", "apply", "-f", str(manifests))
        # The authorizer learns of the new rights a moment later; CoreDNS, refused once, would pause for seconds.
        self.wait(lambda: self.allowed(api, "system:coredns"), "CoreDNS's rights")
        self.start("coredns")

        def node_ready() -> bool:
            conditions = api.get(f"/api/v1/nodes/{self.values['NODE_NAME']}")["status"]["conditions"]
            return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

        self.wait(node_ready, "the node")
        stage("the node is Ready")
        self.wait(lambda: self.answers("127.0.0.1:8181", "/ready"), "CoreDNS")
        # Pods of the default namespace are refused until its service account is there.
        self.wait(lambda: bool(api.get("/api/v1/namespaces/default/serviceaccounts/default")), "the default account")
        stage("CoreDNS answers")

    def allowed(self, api: Api, user: str) -> bool:
        """Whether the user may watch EndpointSlices, the last right in CoreDNS's role."""
        asked = {"group": "discovery.k8s.io", "resource": "endpointslices", "verb": "watch"}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "resourceAttributes": asked},
        }
        answer = json.loads(api.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review))
        return bool(answer["status"]["allowed"])

    def import_pause(self) -> None:
        image = str(self.state / "parts/pause.tar")
        ctr = str(self.state / "parts/debs/usr/bin/ctr")

        def imported() -> bool:
            try:
                run(ctr, "-n", "k8s.io", "images", "import", image)
            except StartError as error:
                raise OSError(str(error)) from error
            return True

        self.wait(imported, "containerd", 20)

    def watch(self) -> NoReturn:
        """Buries the dead (containers' shims among them) and restarts programs."""
        while True:
            pid, status = os.wait()
            name = self.running.pop(pid, None)
            if name:
                print(time.strftime("%FT%T"), name, "ended with", os.waitstatus_to_exitcode(status), flush=True)
                time.sleep(RESTART_SECONDS)
                self.start(name)


def detach(state: Path) -> None:
    """Goes on in a child that is PID 1 of new namespaces. It waits until its PID, as the host knows it, is written:
    nobody may have to look for it by its name."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC):
        raise StartError(f"unshare: {os.strerror(ctypes.get_errno())}")
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(reader)
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        new = state / "pid.new"
        new.write_text(f"{child} {start_time(child)} {boot}\n")
        new.rename(state / "pid")
        os.write(writer, b".")
        os._exit(0)
    os.close(writer)
    if not os.read(reader, 1):
        os._exit(1)
    os.close(reader)


def main() -> None:
    state = Path(sys.argv[1])
    values = settings.load(state / "etc/settings")
    node = Node(values)
    cgroups.join(cgroups.make(values["CGROUP"]))
    detach(state)
    # PID 1 gets only the signals that it handles: these end the cluster, like SIGKILL from outside.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    try:
        Path("/proc/sys/kernel/hostname").write_text(values["NODE_NAME"])
        node.set_up_mounts()
        node.set_up_network()
        node.bring_up()
    except (StartError, OSError, ApiError) as error:
        (state / "failed").write_text(f"{error}\n")
        raise SystemExit(1) from error
    (state / "ready").touch()
    node.watch()


if __name__ == "__main__":
    main()
