"""What a command touches is in its records: the name it asked for, what that led to, and how it ended."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.bpf.conftest import Bench, Run

from snoop_agent import wire
from snoop_agent.plan import Plan

Traced = Callable[..., Run]
Build = Callable[[str], str]


def test_an_opened_file_is_told_with_its_name_its_target_and_its_program(traced: Traced, tmp_path: Path) -> None:
    (tmp_path / "real").write_text("x")
    (tmp_path / "alias").symlink_to("real")
    run = traced(["/bin/cat", f"{tmp_path}/alias"])
    event = run.one(f"{tmp_path}/alias")
    assert event.target == os.fsencode(tmp_path / "real")
    assert event.kinds == wire.READ
    assert event.error == 0
    assert event.executable == b"/usr/bin/cat"
    assert event.ino == (tmp_path / "real").stat().st_ino


def test_the_very_first_instructions_are_seen(traced: Traced) -> None:
    run = traced(["/bin/true"])
    assert run.one("/bin/true").kinds == wire.EXECUTE
    assert run.one("/etc/ld.so.cache").kinds == wire.READ
    loader = [event for event in run.events if event.flags & wire.INTERPRETER]
    assert [event.target for event in loader] == [os.fsencode(os.path.realpath("/lib64/ld-linux-x86-64.so.2"))]


def test_nothing_of_other_processes_is_seen(traced: Traced) -> None:
    other = subprocess.Popen(["sh", "-c", "while :; do cat /etc/passwd >/dev/null; done"])
    try:
        run = traced(["/bin/sleep", "0.3"])
    finally:
        other.kill()
        other.wait()
    assert "/etc/passwd" not in run.asked()
    assert run.strangers == 0


def test_missing_and_denied_are_told_apart(traced: Traced, c_program: Build, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0)
    tmp_path.chmod(0o755)
    program = c_program(
        f"""#include <fcntl.h>
        #include <unistd.h>
        int main(void) {{
            setuid(65534);
            open("{tmp_path}/nothing", 0);
            open("{tmp_path}/secret/below", 0);
            open("{secret}", 0);
            return 0;
        }}"""
    )
    for parent in [tmp_path, *tmp_path.parents][:-2]:
        parent.chmod(parent.stat().st_mode | 0o111)
    run = traced([program])
    assert run.one(f"{tmp_path}/nothing").error == -2
    assert run.one(f"{tmp_path}/secret/below").error == -20
    assert run.one(str(secret)).error == -13


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ("stat(p, &st)", wire.STAT),
        ("lstat(p, &st)", wire.STAT),
        ("syscall(SYS_stat, p, &st)", wire.STAT),
        ("syscall(SYS_lstat, p, &st)", wire.STAT),
        ("syscall(SYS_newfstatat, AT_FDCWD, p, &st, 0)", wire.STAT),
        ("statx(AT_FDCWD, p, 0, 0, &sx)", wire.STAT),
        ("syscall(SYS_access, p, R_OK)", wire.STAT),
        ("syscall(SYS_faccessat, AT_FDCWD, p, R_OK)", wire.STAT),
        ("syscall(SYS_faccessat2, AT_FDCWD, p, R_OK, 0)", wire.STAT),
        ("syscall(SYS_open, p, O_RDONLY)", wire.READ),
        ("syscall(SYS_openat, AT_FDCWD, p, O_WRONLY)", wire.WRITE),
        ("syscall(SYS_openat, AT_FDCWD, p, O_RDWR)", wire.READ | wire.WRITE),
        ("syscall(SYS_openat2, AT_FDCWD, p, &how, sizeof(how))", wire.READ),
        ("syscall(SYS_openat, AT_FDCWD, p, O_PATH)", wire.OPEN),
        ("statfs(p, &fs)", wire.STAT),
        ("truncate(p, 0)", wire.WRITE),
        ("chmod(p, 0600)", wire.MODIFY),
        ("chown(p, 0, 0)", wire.MODIFY),
        ("unlink(p)", wire.MODIFY),
        ("rename(p, q)", wire.MODIFY),
        ("link(p, q)", wire.STAT),
        ('getxattr(p, "user.x", b, 10)', wire.STAT),
        ("listxattr(p, b, 10)", wire.STAT),
        ('setxattr(p, "user.x", b, 1, 0)', wire.MODIFY),
        ("syscall(SYS_utime, p, 0)", wire.MODIFY),
        ("syscall(SYS_utimes, p, 0)", wire.MODIFY),
        ("syscall(SYS_open_tree, AT_FDCWD, p, 0)", wire.OPEN),
    ],
)
def test_each_call_is_seen(call: str, kind: int, traced: Traced, c_program: Build, tmp_path: Path, attach: str) -> None:
    if attach == "raw_tp" and "unlink" not in call and "SYS_" not in call:
        pytest.skip("the table of calls is the same for both ways; a sample is enough")
    path = tmp_path / "file"
    path.write_text("x")
    program = c_program(
        f"""#define _GNU_SOURCE
        #include <fcntl.h>
        #include <linux/openat2.h>
        #include <stdio.h>
        #include <sys/stat.h>
        #include <sys/statfs.h>
        #include <sys/syscall.h>
        #include <sys/xattr.h>
        #include <unistd.h>
        int main(void) {{
            const char *p = "{path}", *q = "{path}.new";
            struct stat st; struct statx sx; struct statfs fs; char b[16];
            struct open_how how = {{ .flags = O_RDONLY }};
            {call};
            return 0;
        }}"""
    )
    event = traced([program]).one(str(path))
    assert event.kinds == kind
    assert event.error in (0, -61, -95)  # an attribute that is not there, or no room for any


def test_a_link_that_is_read_is_told(traced: Traced, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to("nowhere")
    assert traced(["/bin/readlink", f"{tmp_path}/alias"]).one(f"{tmp_path}/alias").kinds == wire.READLINK


def test_a_created_file_is_told_as_created(traced: Traced, tmp_path: Path) -> None:
    run = traced(["/bin/sh", "-c", f"echo x > {tmp_path}/new"])
    assert run.one(f"{tmp_path}/new").kinds == wire.WRITE | wire.CREATE


def test_relative_names_come_with_the_directory_they_start_from(traced: Traced, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("x")
    run = traced(["/bin/sh", "-c", f"cd {tmp_path}/a && cat b/c && cd b && cat c ../b/./c"])
    assert run.one("b/c").base == os.fsencode(tmp_path / "a")
    assert run.one("c").base == os.fsencode(tmp_path / "a" / "b")
    assert {run.one(name).target for name in ("b/c", "c", "../b/./c")} == {os.fsencode(tmp_path / "a" / "b" / "c")}


def test_a_name_below_a_descriptor_comes_with_that_directory(traced: Traced, c_program: Build, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("x")
    program = c_program(
        f"""#include <fcntl.h>
        #include <sys/stat.h>
        int main(void) {{
            struct stat st;
            int d = open("{tmp_path}/d", O_RDONLY | O_DIRECTORY);
            openat(d, "f", O_RDONLY);
            fstatat(d, "g", &st, 0);
            return 0;
        }}"""
    )
    run = traced([program])
    assert (run.one("f").base, run.one("f").target) == (os.fsencode(tmp_path / "d"), os.fsencode(tmp_path / "d/f"))
    assert (run.one("g").base, run.one("g").error) == (os.fsencode(tmp_path / "d"), -2)


def test_the_same_relative_name_in_a_renamed_directory_is_another_path(traced: Traced, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "f").write_text("x")
    run = traced(["/bin/sh", "-c", f"cd {tmp_path}/one; cat f; mv {tmp_path}/one {tmp_path}/two; cat f"])
    bases = {event.base for event in run.events if event.asked == b"f"}
    assert bases == {os.fsencode(tmp_path / "one"), os.fsencode(tmp_path / "two")}


def test_two_names_of_one_file_are_two_records(traced: Traced, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    (tmp_path / "hard").hardlink_to(tmp_path / "f")
    (tmp_path / "soft").symlink_to("f")
    run = traced(["/bin/cat", *(f"{tmp_path}/{name}" for name in ("f", "hard", "soft"))])
    assert {f"{tmp_path}/{name}" for name in ("f", "hard", "soft")} <= run.asked(kind=wire.READ)


def test_a_repeat_leaves_no_second_record_but_is_counted(traced: Traced, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    run = traced(["/bin/sh", "-c", f"for i in 1 2 3 4 5 6 7 8 9; do read x < {tmp_path}/f; done"])
    run.one(f"{tmp_path}/f")
    assert run.counters.events >= run.counters.records + 8
    assert run.counters.records == len(run.events)


def test_a_script_its_interpreter_and_the_interpreters_loader_are_seen(traced: Traced, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/usr/bin/perl\nexit 0;\n")
    script.chmod(0o755)
    run = traced([str(script)])
    assert {str(script), "/usr/bin/perl"} <= run.asked(kind=wire.EXECUTE)
    assert run.one("/usr/bin/perl").target.startswith(b"/usr/bin/perl")
    assert os.path.realpath("/lib64/ld-linux-x86-64.so.2") in run.targets(wire.EXECUTE)


def test_a_program_that_is_not_there_is_missing(traced: Traced) -> None:
    run = traced(["/bin/sh", "-c", "/nowhere/program 2>/dev/null; :"])
    events = [event for event in run.events if event.asked == b"/nowhere/program" and event.kinds == wire.EXECUTE]
    assert [event.error for event in events] == [-2]


def test_a_listed_directory_is_told_as_listed(traced: Traced, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    run = traced(["/bin/ls", f"{tmp_path}/d"])
    assert run.targets(wire.LIST) == {f"{tmp_path}/d"}


def test_pipes_sockets_and_memfds_are_no_files(traced: Traced, c_program: Build) -> None:
    program = c_program(
        """#define _GNU_SOURCE
        #include <stdio.h>
        #include <fcntl.h>
        #include <sys/mman.h>
        #include <unistd.h>
        int main(void) {
            char name[64]; int p[2];
            int m = memfd_create("hidden", 0);
            pipe(p);
            snprintf(name, sizeof name, "/proc/self/fd/%d", m); open(name, O_RDONLY);
            snprintf(name, sizeof name, "/proc/self/fd/%d", p[0]); open(name, O_RDONLY);
            return 0;
        }"""
    )
    run = traced([program])
    assert not [target for target in run.targets() if "memfd:" in target or target.startswith("/pipe:")]


def test_hostile_names_come_through_byte_for_byte(traced: Traced, tmp_path: Path) -> None:
    names = [b"a\nb", b"\xff\xfe", b"sp ace", b"\\x41", b'q"uote', b"n" * 255, "ümläut".encode()]
    for name in names:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text("x")
    run = traced(["/bin/cat", *(os.fsencode(tmp_path) + b"/" + name for name in names)])
    for name in names:
        event = run.one(os.fsencode(tmp_path) + b"/" + name)
        assert event.target == event.asked


def test_a_deep_directory_is_walked_whole(traced: Traced, tmp_path: Path) -> None:
    depth = 300
    run = traced(
        ["/bin/sh", "-c", f"cd {tmp_path}; i=0; while [ $i -lt {depth} ]; do mkdir d; cd d; i=$((i+1)); done; : > leaf"]
    )
    event = run.one("leaf")
    assert event.target == os.fsencode(tmp_path) + b"/d" * depth + b"/leaf"
    assert not event.flags & wire.TRUNCATED


def test_threads_and_forks_are_seen(traced: Traced, tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / str(number)).write_text("x")
    run = traced(["/bin/sh", "-c", f"for i in $(seq 0 19); do (cat {tmp_path}/$i) & done; wait"])
    assert {f"{tmp_path}/{number}" for number in range(20)} <= run.asked(kind=wire.READ)


def test_a_deleted_file_is_marked(traced: Traced, c_program: Build, tmp_path: Path) -> None:
    program = c_program(
        f"""#include <fcntl.h>
        #include <stdio.h>
        #include <unistd.h>
        int main(void) {{
            char name[64];
            int f = open("{tmp_path}/gone", O_CREAT | O_RDWR, 0600);
            unlink("{tmp_path}/gone");
            snprintf(name, sizeof name, "/proc/self/fd/%d", f);
            open(name, O_RDONLY);
            return 0;
        }}"""
    )
    run = traced([program])
    again = [event for event in run.events if event.asked.startswith(b"/proc/self/fd/")]
    assert len(again) == 1
    assert again[0].flags & wire.DELETED


def test_what_finds_no_room_is_counted_and_told_on_the_next_touch(attach: str, tmp_path: Path) -> None:
    if attach == "tracepoint":
        pytest.skip("the ring is the same for both ways")
    bench = Bench(attach, Plan(attach, ring_pages=1, seen_entries=8192))
    try:
        for number in range(200):
            (tmp_path / str(number)).write_text("x")
        files = [f"{tmp_path}/{number}" for number in range(200)]
        script = f"cat {tmp_path}/*; sleep 0.6; for i in $(seq 40); do cat {tmp_path}/*; sleep 0.02; done"
        run = bench.run(["/bin/sh", "-c", script], idle_s=0.5)
        assert run.counters.lost > 0
        assert set(files) <= run.asked(kind=wire.READ)
    finally:
        bench.close()


@pytest.mark.parametrize(("entries", "most"), [(8, 900), (256, 330)], ids=["no room", "more than the front holds"])
def test_what_is_seen_for_the_first_time_is_never_taken_for_a_repeat(
    attach: str, tmp_path: Path, entries: int, most: int
) -> None:
    if attach == "tracepoint":
        pytest.skip("what was seen is the same for both ways")
    bench = Bench(attach, Plan(attach, ring_pages=256, seen_entries=entries))
    try:
        files = {f"{tmp_path}/{number}" for number in range(300)}
        for file in files:
            Path(file).write_text("x")
        run = bench.run(["/bin/sh", "-c", f"for round in 1 2 3; do cat {tmp_path}/*; done"])
        told = [event for event in run.events if event.asked.decode() in files and event.kinds & wire.READ]
        assert {event.asked.decode() for event in told} == files
        assert len(told) <= most
        if entries == 8:
            assert len(told) > 800
    finally:
        bench.close()


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[Path]:
    """A root file system as containers have it: an overlay over the machine's own /usr."""
    for name in ("lower", "upper", "work", "root"):
        (tmp_path / name).mkdir()
    lower = tmp_path / "lower"
    loader = os.path.realpath("/lib64/ld-linux-x86-64.so.2")
    for path in ("/usr/bin/true", loader, os.path.realpath("/lib/x86_64-linux-gnu/libc.so.6")):
        copy = lower / path.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    for name in ("bin", "lib", "lib64"):
        (lower / name).symlink_to(f"usr/{name}")
    (lower / "usr/lib64").mkdir(exist_ok=True)
    (lower / "usr/lib64/ld-linux-x86-64.so.2").symlink_to(loader)
    options = f"lowerdir={lower},upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, tmp_path / "root"], check=True)
    yield tmp_path / "root"
    subprocess.run(["umount", tmp_path / "root"], check=True)


def test_in_an_overlay_the_loader_has_its_name_and_not_the_layers(traced: Traced, overlay: Path) -> None:
    run = traced(["/bin/true"], root=overlay)
    loader = os.path.realpath("/lib64/ld-linux-x86-64.so.2")
    assert run.status == 0
    (event,) = [event for event in run.events if event.flags & wire.INTERPRETER]
    assert event.target == os.fsencode(loader)
    assert not event.flags & (wire.OUTSIDE | wire.VOLUME)


@pytest.mark.parametrize(
    "call",
    [
        """struct { struct file_handle head; char more[128]; } handle = {{ .handle_bytes = 128 }}; int mount;
        name_to_handle_at(AT_FDCWD, "/", &handle.head, &mount, 0);
        open_by_handle_at(open("/", O_RDONLY), &handle.head, O_RDONLY)""",
    ],
)
def test_a_way_to_files_that_is_not_followed_is_a_gap(traced: Traced, c_program: Build, call: str) -> None:
    program = c_program(
        f"""#define _GNU_SOURCE
        #include <fcntl.h>
        #include <sys/syscall.h>
        #include <unistd.h>
        int main(void) {{ {call}; return 0; }}"""
    )
    assert traced([program]).blind == 1
    assert traced(["/bin/true"]).blind == 0


def test_a_link_to_a_pipe_is_told_by_its_name(traced: Traced, tmp_path: Path) -> None:
    (tmp_path / "access.log").symlink_to("/dev/stdout")
    run = traced(["/bin/sh", "-c", f"(echo hi > {tmp_path}/access.log) | cat"])
    event = run.one(f"{tmp_path}/access.log")
    assert (event.error, event.target) == (0, b"")


def test_a_descriptor_whose_times_are_set_has_no_name_to_be_unreadable(traced: Traced, tmp_path: Path) -> None:
    run = traced(["/bin/touch", f"{tmp_path}/file"])
    assert f"{tmp_path}/file" in run.asked()
    assert not [event for event in run.events if event.flags & wire.ASKED_UNREADABLE]
