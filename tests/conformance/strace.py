"""Reads what `strace -f -y -xx -o FILE` wrote: finished system calls, and where threads end.

With -xx every string and every descriptor's path is in hexadecimal, so that no name can be taken for punctuation. The
format is that of strace 5.10 to 6.x: calls that another thread's line interrupts are written in two halves.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_LINE = re.compile(r"(\d+) +(.*)")
_CALL = re.compile(r"(\w+)\((.*)\)\s+= (.*)", re.DOTALL)
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
_UNFINISHED = re.compile(r"(.*?) ?<(?:unfinished|detached) \.\.\.>")
_SUPERSEDED = re.compile(r"\+\+\+ superseded by execve in pid (\d+) \+\+\+")
_CHANGED = re.compile(r"(.*?) ?<pid changed to (\d+) \.\.\.>")
_RESULT = re.compile(r"(-?\d+|0x[0-9a-f]+|\?)(?:<([^>]*)>)?(?: (E[A-Z0-9]+))?")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_DESCRIPTOR = re.compile(r"(AT_FDCWD|-?\d+)(?:<([^>]*)>)?")
_BRACKETS = re.compile(r'"[^"]*"|<[^>]*>|[\[{(]|[\]})]|, ')
_TRANSLATED = re.compile(r"/\* (\d+) in strace's PID NS \*/")
FORKS = ("clone", "clone3", "fork", "vfork")
DELETED = b" (deleted)"
"""What the kernel adds to the path of a file that has no name any more; a file may really be called so."""


@dataclass(slots=True)
class Call:
    """A system call that has returned. `start` and `end` are line numbers of the log."""

    thread: int
    name: str
    arguments: list[str]
    result: int
    """-1 on failure, and if the thread ended meanwhile."""
    error: str
    """The errno's name; `?` if the call did not return."""
    path: bytes | None
    """Where the returned descriptor leads to."""
    start: int
    end: int
    translated: int = 0
    """The returned PID as strace's own PID namespace has it, where it differs."""

    def text(self) -> str:
        """The call for people."""
        shown = ", ".join(readable(one) for one in self.arguments if not one.startswith(("0x", "{", "[")))
        return f"{self.name}({shown}) = {self.error or self.result}"


@dataclass(slots=True)
class End:
    """A thread has ended."""

    thread: int
    line: int


def parse(lines: Iterable[str]) -> Iterator[Call | End]:
    """Read a log. Calls come in the order in which they returned. ValueError names a line that makes no sense."""
    begun: dict[int, tuple[str, int]] = {}
    for number, line in enumerate(lines, 1):
        found = _LINE.match(line)
        if not found:
            raise ValueError(f"line {number} of the strace log is not one: {line[:200]!r}")
        thread, rest = int(found[1]), found[2]
        superseded = _SUPERSEDED.match(rest)
        if superseded:
            # The thread's execve returns in the leader, whose number it takes.
            executing = int(superseded[1])
            if executing in begun:
                yield from _cut_off(begun, thread, executing, number)
                begun[thread] = begun.pop(executing)
            yield End(executing, number)
            continue
        if rest.startswith("+++ "):
            call = begun.pop(thread, None)
            if call is not None:
                yield _finish(thread, call[0] + ") = ?", call[1], number)
            yield End(thread, number)
            continue
        if rest.startswith("--- "):
            continue
        start = number
        resumed = _RESUMED.match(rest)
        if resumed:
            if thread not in begun:
                raise ValueError(f"line {number} of the strace log resumes what had not begun: {line[:200]!r}")
            head, start = begun.pop(thread)
            rest = head + resumed[2]
        half = _UNFINISHED.fullmatch(rest)
        if half:
            begun[thread] = (half[1], start)
            continue
        changed = _CHANGED.fullmatch(rest)
        if changed:
            yield from _cut_off(begun, int(changed[2]), thread, number)
            begun[int(changed[2])] = (changed[1], start)
            continue
        yield _finish(thread, rest, start, number)
    for thread, (head, start) in begun.items():
        yield _finish(thread, head + ") = ?", start, start)


def _cut_off(begun: dict[int, tuple[str, int]], leader: int, executing: int, number: int) -> Iterator[Call]:
    """End what a leader was in when another thread executed. Its clone may have made that one, and could not tell."""
    if leader in begun:
        head, start = begun.pop(leader)
        result = executing if head.partition("(")[0] in FORKS else "?"
        yield _finish(leader, f"{head}) = {result}", start, number)


def _finish(thread: int, text: str, start: int, end: int) -> Call:
    found = _CALL.fullmatch(text)
    result = _RESULT.match(found[3]) if found else None
    if not found or not result:
        raise ValueError(f"line {end} of the strace log is no call: {text[:200]!r}")
    translated = _TRANSLATED.search(found[3])
    value = -1 if result[1] == "?" else int(result[1], 0)
    return Call(
        thread,
        found[1],
        split(found[2]),
        value,
        "?" if result[1] == "?" else result[3] or "",
        unhex(result[2]) if result[2] is not None else None,
        start,
        end,
        int(translated[1]) if translated else 0,
    )


def split(text: str) -> list[str]:
    """Split arguments, or what stands in a bracket, at the commas that are not in deeper brackets."""
    if not any(bracket in text for bracket in "[{("):
        return text.split(", ") if text else []
    parts, depth, begin = [], 0, 0
    for found in _BRACKETS.finditer(text):
        token = found[0]
        if token in "[{(":
            depth += 1
        elif token in ")}]":
            depth -= 1
        elif token == ", " and depth == 0:
            parts.append(text[begin : found.start()])
            begin = found.end()
    parts.append(text[begin:])
    return parts


def unhex(text: str) -> bytes:
    r"""Turn `\x2f\x61` into bytes. What strace writes without -xx's help (`socket:[1]`, old versions) stays."""
    return bytes.fromhex(text.replace("\\x", "")) if text.startswith("\\x") else text.encode()


def string(argument: str) -> bytes | None:
    """Read a string argument. None: NULL, an address that could not be read, or a string that strace cut."""
    found = _STRING.fullmatch(argument)
    return unhex(found[1]) if found and not found[2] else None


def descriptor(argument: str) -> tuple[int | None, bytes | None]:
    """Read a descriptor: its number (None: AT_FDCWD), and where it leads to (None: strace could not tell)."""
    found = _DESCRIPTOR.match(argument)
    if not found:
        return -1, None
    return (None if found[1] == "AT_FDCWD" else int(found[1])), (unhex(found[2]) if found[2] is not None else None)


def readable(argument: str) -> str:
    """An argument for people: names instead of hexadecimal."""
    return re.sub(r"(?:\\x[0-9a-f]{2})+", lambda found: unhex(found[0]).decode("utf-8", "backslashreplace"), argument)
