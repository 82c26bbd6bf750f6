"""Processes that see another tree than their container's: roots of their own, mounts of their own, namespaces."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.bpf.conftest import Run

from snoop_agent import kernel, wire

Traced = Callable[..., Run]
Build = Callable[[str], str]


def test_paths_in_a_root_of_its_own_start_at_that_root(traced: Traced, c_program: Build, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "conf").write_text("x")
    (root / "escape").symlink_to("/etc/conf")
    program = c_program(
        """#include <fcntl.h>
        #include <unistd.h>
        int main(void) {
            open("/etc/conf", O_RDONLY); open("/escape", O_RDONLY);
            chdir("/etc"); open("conf", O_RDONLY); open("../../../etc/conf", O_RDONLY);
            mkdir("/inner", 0755); chroot("/etc"); open("/conf", O_RDONLY);
            return 0;
        }"""
    )
    (root / "program").write_bytes(Path(program).read_bytes())
    (root / "program").chmod(0o755)
    run = traced(["/program"], root=root)
    assert run.status == 0
    assert run.one("/program").target == b"/program"
    assert run.one("/escape").target == b"/etc/conf"
    assert run.one("conf").base == b"/etc"
    assert run.one("../../../etc/conf").target == b"/etc/conf"
    # After a chroot of its own the name starts there, while the target is told from the container's root.
    assert (run.one("/conf").base, run.one("/conf").target) == (b"/etc", b"/etc/conf")
    assert not [event for event in run.events if event.flags & (wire.OUTSIDE | wire.BASE_OUTSIDE)]


def test_a_process_that_leaves_its_mount_namespace_is_still_seen(
    traced: Traced, c_program: Build, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    program = c_program(
        f"""#define _GNU_SOURCE
        #include <fcntl.h>
        #include <sched.h>
        int main(void) {{ return unshare(CLONE_NEWNS) || open("{tmp_path}/file", O_RDONLY) < 0; }}"""
    )
    run = traced([program])
    assert run.status == 0
    assert run.one(f"{tmp_path}/file").kinds == wire.READ


def test_a_bind_mount_made_inside_gives_the_images_own_name(traced: Traced, tmp_path: Path) -> None:
    for name in ("etc", "place"):
        (tmp_path / name).mkdir()
    (tmp_path / "etc/conf").write_text("x")
    script = f"mount --bind {tmp_path}/etc {tmp_path}/place && exec cat {tmp_path}/place/conf"
    run = traced(["/usr/bin/unshare", "-m", "/bin/sh", "-c", script])
    assert run.status == 0
    (event,) = [one for one in run.events if one.asked == os.fsencode(tmp_path / "place/conf")]
    assert os.fsdecode(event.target) == f"{tmp_path}/etc/conf"
    assert not event.flags & (wire.VOLUME | wire.OUTSIDE)


def test_a_file_system_of_its_own_is_a_volume(traced: Traced, tmp_path: Path) -> None:
    script = f"mount -t tmpfs none {tmp_path} && echo x > {tmp_path}/file && exec cat {tmp_path}/file"
    run = traced(["/usr/bin/unshare", "-m", "/bin/sh", "-c", script])
    events = [one for one in run.events if one.target == os.fsencode(tmp_path / "file")]
    assert events
    assert all(one.flags & wire.VOLUME for one in events)


def test_a_root_that_is_changed_is_told_from_the_one_that_was(traced: Traced, c_program: Build, tmp_path: Path) -> None:
    (tmp_path / "jail/etc").mkdir(parents=True)
    source = f"""#include <fcntl.h>
    #include <unistd.h>
    int main(void) {{ return chroot("{tmp_path}/jail") || chdir("/etc") || open("/etc", O_RDONLY) < 0; }}"""
    run = traced([c_program(source)])
    assert run.status == 0
    jail = run.one(f"{tmp_path}/jail")
    assert (os.fsdecode(jail.base), os.fsdecode(jail.target)) == ("/", f"{tmp_path}/jail")
    assert {os.fsdecode(one.base) for one in run.events if one.asked == b"/etc"} == {f"{tmp_path}/jail"}


def test_a_sandbox_that_a_process_makes_gives_the_images_own_names(
    traced: Traced, c_program: Build, tmp_path: Path
) -> None:
    for name in ("image/app", "image/app/sub", "new"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "image/app/data").write_text("x")
    source = f"""#define _GNU_SOURCE
    #include <fcntl.h>
    #include <sched.h>
    #include <sys/mount.h>
    #include <sys/stat.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    int main(void) {{
        if (unshare(CLONE_NEWNS) || mount(0, "/", 0, MS_REC | MS_PRIVATE, 0)) return 1;
        if (mount("none", "{tmp_path}/new", "tmpfs", 0, 0) || chdir("{tmp_path}/new")) return 2;
        if (mkdir("app", 0755) || mkdir("old", 0755)) return 3;
        if (mount("{tmp_path}/image/app", "app", 0, MS_BIND, 0) || syscall(SYS_pivot_root, ".", "old")) return 4;
        if (chdir("/") || umount2("/old", MNT_DETACH) || chdir("/app") || chdir("sub")) return 5;
        return open("/app/data", O_RDONLY) < 0;
    }}"""
    run = traced([c_program(source)])
    assert run.status == 0
    (data,) = [one for one in run.events if one.asked == b"/app/data"]
    assert os.fsdecode(data.target) == f"{tmp_path}/image/app/data"
    assert not data.flags & (wire.VOLUME | wire.OUTSIDE)
    assert f"{tmp_path}/image/app" in run.asked(kind=wire.STAT)
    (sub,) = [one for one in run.events if one.asked == b"sub"]
    assert os.fsdecode(sub.base) == "/app"
    assert run.blind == 0


def test_a_process_that_enters_another_tree_is_a_gap(traced: Traced, tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("bin", "proc", "old"):
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    inside = f"mount --bind {root} {root} && cd {root} && pivot_root . old && exec bin/busybox sleep 30"
    with subprocess.Popen(["/usr/bin/unshare", "-m", "/bin/sh", "-c", inside]) as other:
        deadline = time.monotonic() + 10
        while Path(f"/proc/{other.pid}/root").readlink() == Path("/") and time.monotonic() < deadline:
            time.sleep(0.02)
        code = f"""import os
fd = os.open("/proc/{other.pid}/ns/mnt", os.O_RDONLY)
import ctypes
assert ctypes.CDLL(None).setns(fd, 0) == 0"""
        run = traced(["/usr/bin/python3", "-S", "-c", code])
        other.kill()
    assert run.status == 0
    assert run.blind == 1


def test_who_unshares_what_another_left_chrooted_is_no_gap(traced: Traced, c_program: Build, tmp_path: Path) -> None:
    # The kernel gives out the struct of directories that was freed last; it had another root.
    source = f"""#define _GNU_SOURCE
    #include <fcntl.h>
    #include <pthread.h>
    #include <sched.h>
    #include <stdlib.h>
    #include <sys/wait.h>
    #include <unistd.h>
    static void *own(void *none) {{
        if (unshare(CLONE_FS) || chdir("{tmp_path}") || open("file", O_RDONLY | O_CREAT, 0600) < 0) exit(3);
        return none;
    }}
    int main(void) {{
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(sched_getcpu(), &one);
        if (sched_setaffinity(0, sizeof(one), &one)) return 1;
        for (int i = 0; i < 50; i++) {{
            pthread_t thread;
            if (!fork()) _exit(chroot("{tmp_path}"));
            wait(0);
            if (pthread_create(&thread, 0, own, 0) || pthread_join(thread, 0)) return 2;
        }}
        return 0;
    }}"""
    run = traced([c_program(source)])
    assert run.status == 0
    assert {os.fsdecode(one.base) for one in run.events if one.asked == b"file"} == {str(tmp_path)}
    assert run.blind == 0


def test_a_process_that_enters_an_empty_mount_namespace_is_a_gap(traced: Traced) -> None:
    # UNSHARE_EMPTY_MNTNS (7.1). A kernel without it refuses, and then nothing was entered.
    code = "import ctypes, os; os._exit(bool(ctypes.CDLL(None).unshare(0x100000)))"
    run = traced(["/usr/bin/python3", "-S", "-c", code])
    known = kernel.version() >= (7, 1)
    assert (run.status, run.blind) == ((0, 1) if known else (1, 0))
