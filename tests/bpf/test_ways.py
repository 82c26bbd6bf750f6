"""Ways to files beside plain calls: io_uring, 32-bit code, calls with two names, chains of interpreters."""

import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.bpf.conftest import Bench, Run

from snoop_agent import wire
from snoop_agent.sightings import interpret
from snoop_report.model import Outcome

Traced = Callable[..., Run]
Build = Callable[[str], str]

# Without liburing: a ring of one, a request to open and one to stat, both waited for.
_URING = """#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
	static struct statx buffer;
	struct io_uring_params p = {0};
	int ring = syscall(SYS_io_uring_setup, 2, &p), done;
	char *sq = mmap(0, p.sq_off.array + p.sq_entries * 4, 3, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	struct io_uring_sqe *e = mmap(0, 2 * sizeof *e, 3, MAP_SHARED, ring, IORING_OFF_SQES);
	unsigned *array = (unsigned *)(sq + p.sq_off.array);
	if (ring < 0) return 1;
	memset(e, 0, 2 * sizeof *e);
	e[0].opcode = IORING_OP_OPENAT; e[0].fd = AT_FDCWD; e[0].addr = (unsigned long)"%s"; e[0].open_flags = O_RDONLY;
	e[1].opcode = IORING_OP_STATX; e[1].fd = AT_FDCWD; e[1].addr = (unsigned long)"%s";
	e[1].off = (unsigned long)&buffer;
	array[0] = 0; array[1] = 1;
	__atomic_store_n((unsigned *)(sq + p.sq_off.tail), 2, __ATOMIC_RELEASE);
	done = syscall(SYS_io_uring_enter, ring, 2, 2, IORING_ENTER_GETEVENTS, 0, 0);
	return done != 2;
}"""


def test_requests_of_io_uring_are_told_unconfirmed(traced: Traced, c_program: Build, tmp_path: Path) -> None:
    for name in ("opened", "looked-at"):
        (tmp_path / name).write_text("x")
    run = traced([c_program(_URING % (tmp_path / "opened", tmp_path / "looked-at"))])
    assert run.status == 0
    opened, looked = run.one(f"{tmp_path}/opened"), run.one(f"{tmp_path}/looked-at")
    assert (opened.kinds, looked.kinds) == (wire.READ, wire.STAT)
    assert opened.flags & looked.flags & wire.UNCONFIRMED
    assert run.blind == 0


def _program32(path: str) -> bytes:
    """Make a program of 32-bit code: open(path), stat64(path), exit(7) by int 0x80. No 32-bit libc is needed."""
    base, head = 0x08048000, 52 + 32
    code_length = 64
    name, buffer = base + head + code_length, base + 0x800
    code = b"".join(
        (
            b"\xb8" + struct.pack("<I", 5) + b"\xbb" + struct.pack("<I", name) + b"\x31\xc9\xcd\x80",
            b"\xb8" + struct.pack("<I", 195) + b"\xbb" + struct.pack("<I", name),
            b"\xb9" + struct.pack("<I", buffer) + b"\xcd\x80",
            b"\xb8" + struct.pack("<I", 1) + b"\xbb" + struct.pack("<I", 7) + b"\xcd\x80",
        )
    )
    elf = b"\x7fELF\x01\x01\x01" + bytes(9)
    elf += struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base + head, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    elf += struct.pack("<IIIIIIII", 1, 0, base, base, 0x1000, 0x1000, 7, 0x1000)
    return (elf + code.ljust(code_length, b"\x90") + os.fsencode(path) + b"\0").ljust(0x1000, b"\0")


def test_32_bit_code_is_seen_or_a_gap(traced: Traced, tmp_path: Path, attach: str) -> None:
    (tmp_path / "file").write_text("x")
    program = tmp_path / "program"
    program.write_bytes(_program32(str(tmp_path / "file")))
    program.chmod(0o755)
    run = traced([str(program)])
    if run.status == 126 or run.status < 0:
        pytest.skip("this kernel runs no 32-bit code (CONFIG_IA32_EMULATION)")
    assert run.status == 7
    assert run.one(str(program)).kinds == wire.EXECUTE
    if attach == "tracepoint":
        assert run.blind >= 1
    else:
        kinds = {event.kinds for event in run.events if event.asked == os.fsencode(tmp_path / "file")}
        assert kinds == {wire.READ, wire.STAT}
        assert run.blind == 0


def test_both_names_of_a_call_are_told(traced: Traced, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    run = traced(
        ["/bin/sh", "-c", f"cd {tmp_path}; mv -T old new; ln new hard; ln -s new soft; mkdir dir; mkfifo pipe"]
    )
    kinds = {os.fsdecode(event.asked): event.kinds for event in run.events if event.error == 0}
    assert kinds["old"] & wire.MODIFY
    for name in ("new", "hard", "soft", "dir", "pipe"):
        assert [one for one in run.events if one.asked == name.encode() and one.kinds & wire.CREATE and not one.error]


def test_the_second_name_of_a_failed_call_is_not_told_as_there(
    traced: Traced, c_program: Build, tmp_path: Path
) -> None:
    (tmp_path / "there").write_text("x")
    source = """#include <stdio.h>
    int main(void) {{ return !(rename("{0}/missing", "{0}/made") < 0 && link("{0}/there", "{0}/there") < 0); }}"""
    run = traced([c_program(source.format(tmp_path))])
    assert run.status == 0
    assert f"{tmp_path}/made" not in run.asked()
    assert run.one(f"{tmp_path}/missing").flags & wire.EITHER


def test_a_mapped_file_is_told_by_whom_costs_nothing_to_ask(traced: Traced, attach: str) -> None:
    run = traced(["/bin/true"])
    mapped = {Path(path).name for path in run.targets(wire.MAP)}
    assert ("libc.so.6" in mapped) == (attach == "raw_tp")


def test_a_tree_deeper_than_one_program_walks_is_told_whole(traced: Traced, c_program: Build, tmp_path: Path) -> None:
    step = "/".join(["a"] * 50)
    make = f"cd {tmp_path}; for i in $(seq 30); do mkdir -p {step} && cd {step}; done"
    subprocess.run(["/bin/sh", "-c", make], check=True)
    source = f"""#include <fcntl.h>
    #include <unistd.h>
    int main(void) {{
        if (chdir("{tmp_path}")) return 1;
        for (int i = 0; i < 30; i++) if (chdir("{step}")) return 2;
        return open("leaf", O_CREAT | O_RDWR, 0600) < 0;
    }}"""
    run = traced([c_program(source)])
    subprocess.run(["rm", "-rf", tmp_path / "a"], check=True)
    assert run.status == 0
    event = run.one("leaf")
    assert os.fsdecode(event.target) == f"{tmp_path}/{'a/' * 1500}leaf"
    assert not event.flags & wire.TRUNCATED


def test_a_directory_that_is_entered_is_told_by_the_name_it_was_asked_for_by(
    traced: Traced, c_program: Build, tmp_path: Path
) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a")
    source = f"""#include <sys/wait.h>
    #include <unistd.h>
    int main(void) {{
        if (chdir("{tmp_path}") || chdir("link")) return 1;
        if (fork() == 0) return chdir("b");
        wait(0);
        return chdir("missing") == 0;
    }}"""
    run = traced([c_program(source)])
    assert run.status == 0
    seen = {os.fsdecode(one.asked): one for one in run.events if one.kinds & wire.CHDIR}
    assert {name: os.fsdecode(one.base) for name, one in seen.items()} == {
        str(tmp_path): "/",
        "link": str(tmp_path),
        "b": f"{tmp_path}/a",
        "missing": f"{tmp_path}/a",
    }
    assert os.fsdecode(seen["link"].target) == f"{tmp_path}/a"
    assert os.fsdecode(seen["b"].target) == f"{tmp_path}/a/b"
    assert seen["missing"].error < 0


def test_a_sockets_name_is_told(traced: Traced, tmp_path: Path) -> None:
    code = """import socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()
socket.socket(socket.AF_UNIX).connect(sys.argv[1])
socket.socket(socket.AF_UNIX).connect_ex("\\0abstract")
socket.socket().connect_ex(("127.0.0.1", 1))"""
    run = traced(["/usr/bin/python3", "-S", "-c", code, str(tmp_path / "socket")])
    assert run.status == 0
    kinds = {one.kinds for one in run.events if one.asked == os.fsencode(tmp_path / "socket")}
    assert {wire.CREATE, wire.OPEN} <= kinds
    assert not [one for one in run.events if b"abstract" in one.asked]


def test_a_name_that_climbs_does_not_leave_the_processs_root(traced: Traced, c_program: Build, tmp_path: Path) -> None:
    (tmp_path / "jail/etc").mkdir(parents=True)
    (tmp_path / "jail/file").write_text("x")
    source = f"""#include <fcntl.h>
    #include <sys/stat.h>
    #include <unistd.h>
    int main(void) {{
        struct stat s;
        if (chroot("{tmp_path}/jail") || chdir("/etc")) return 1;
        return open("../../../file", O_RDONLY) < 0 || stat("../../file", &s);
    }}"""
    run = traced([c_program(source)])
    assert run.status == 0
    for asked in ("../../../file", "../../file"):
        assert interpret(run.one(asked)).path == os.fsencode(tmp_path / "jail/file")


def test_a_name_resolved_in_a_directory_as_root_is_told_below_it(
    traced: Traced, c_program: Build, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    source = f"""#define _GNU_SOURCE
    #include <fcntl.h>
    #include <linux/openat2.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    int main(void) {{
        struct open_how how = {{ .flags = O_RDONLY, .resolve = RESOLVE_IN_ROOT }};
        int d = open("{tmp_path}", O_PATH);
        return syscall(SYS_openat2, d, "/file", &how, sizeof how) < 0
            || syscall(SYS_openat2, d, "../../file", &how, sizeof how) < 0
            || syscall(SYS_openat2, d, "/missing", &how, sizeof how) >= 0;
    }}"""
    run = traced([c_program(source)])
    assert run.status == 0
    paths = {name: interpret(run.one(name)).path for name in ("/file", "../../file", "/missing")}
    assert paths == {
        "/file": os.fsencode(tmp_path / "file"),
        "../../file": os.fsencode(tmp_path / "file"),
        "/missing": os.fsencode(tmp_path / "missing"),
    }


def test_one_inode_under_two_names_is_two_paths(traced: Traced, tmp_path: Path) -> None:
    script = """cd "$0"; mkdir v1 v2; echo x >v1/f; ln v1/f v2/f; ln -s v1 cur; cat cur/f; ln -sfn v2 cur; cat cur/f"""
    run = traced(["/bin/sh", "-c", script, str(tmp_path)])
    assert {f"{tmp_path}/v1/f", f"{tmp_path}/v2/f"} <= run.targets(wire.READ)


def test_a_directory_whose_inode_was_another_ones_is_listed_anew(traced: Traced, tmp_path: Path) -> None:
    code = "import os, sys\nfor n in 'abc': p = sys.argv[1] + '/' + n; os.mkdir(p); os.listdir(p); os.rmdir(p)"
    run = traced(["/usr/bin/python3", "-S", "-c", code, str(tmp_path)])
    assert {f"{tmp_path}/{name}" for name in "abc"} <= run.targets(wire.LIST)


def test_a_name_that_the_kernel_made_up_for_execveat_is_not_told(traced: Traced) -> None:
    code = "import os; os.execve(os.open('/bin/true', os.O_RDONLY), ['true'], {})"
    run = traced(["/usr/bin/python3", "-S", "-c", code])
    assert run.status == 0
    assert not [one for one in run.events if one.asked.startswith(b"/dev/fd/")]
    assert os.path.realpath("/bin/true") in run.targets(wire.EXECUTE)


def test_a_script_whose_interpreter_is_missing_is_not_told_as_missing(traced: Traced, tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/nowhere/sh\n")
    (tmp_path / "script").chmod(0o755)
    run = traced(["/usr/bin/env", str(tmp_path / "script")])
    assert run.status == 127
    (event,) = [one for one in run.events if one.asked == os.fsencode(tmp_path / "script")]
    assert interpret(event).outcome is Outcome.FAILED


def test_the_longest_chain_that_the_kernel_runs_ends_no_program_early(
    bench: Bench, traced: Traced, tmp_path: Path
) -> None:
    names = [f"s{number}" for number in range(1, 6)]
    for name, following in zip(names, [*(tmp_path / one for one in names[1:]), "/bin/sh"], strict=True):
        option = " -a" if name != names[-1] else ""
        (tmp_path / name).write_text(f"#!{following}{option}\ntrue\n")
        (tmp_path / name).chmod(0o755)
    before = bench.tracer._failures()
    run = traced([str(tmp_path / "s1")])
    assert run.status == 0
    assert {str(tmp_path / name) for name in names} <= run.asked(kind=wire.EXECUTE)
    assert any("ld-linux" in target or "ld-musl" in target for target in run.targets(wire.EXECUTE))
    # More than 33 tail calls in a row would be too many.
    assert bench.tracer._failures() == before


def test_every_interpreter_of_a_chain_is_told(traced: Traced, tmp_path: Path) -> None:
    lines = {"s1": "#!./s2 -a", "s2": f"#!{tmp_path}/s3 -b", "s3": f"#!{tmp_path}/s4 -c", "s4": "#!/bin/sh"}
    for name, line in lines.items():
        (tmp_path / name).write_text(line + "\n")
        (tmp_path / name).chmod(0o755)
    run = traced(["/bin/sh", "-c", f"cd {tmp_path} && exec ./s1"])
    assert run.status in (0, 2)  # what the options make of /bin/sh is its own matter
    told = {os.fsdecode(one.asked) for one in run.events if one.kinds & wire.EXECUTE and not one.error}
    assert {"./s1", "./s2", f"{tmp_path}/s3", f"{tmp_path}/s4", "/bin/sh"} <= told
    assert not {"-a", "-b", "-c"} & told
    assert run.blind == 0
