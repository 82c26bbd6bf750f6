"""How to remember what was seen: what one look-up in each kind of map takes, in the kernel, and its memory.

A program looks 10,000 or 100,000 keys up in an order that no cache can foresee, 64 at a run. Before each
one it reads a dozen cache lines of other memory, as opening a file does: `python -m tests.bench.seen`.
"""

import ctypes
import os
import statistics
import time
from dataclasses import dataclass

from snoop_agent import bpfsys, compiler, kernel, loader
from snoop_agent.plan import ATTACH_RAW, READ_BY_CALLS, Plan
from snoop_agent.sources import source

_COUNTS = (10_000, 100_000)
_RUN, _ROUNDS = 64, 3000

_MAPS = """
struct wide { __u64 word[5]; };
struct bucket { __u64 place[8]; };
MAP(hash_wide, HASH, struct wide, __u8, 131072);
MAP(lru_wide, LRU_HASH, struct wide, __u8, 131072);
MAP(hash_narrow, HASH, __u64, __u8, 131072);
MAP(lru_narrow, LRU_HASH, __u64, __u8, 131072);
MAP_ARRAY_OF(fingerprints, struct bucket, 32768);
MAP_ARRAY_OF(fronted, struct bucket, 4096 + 32768);
MAP_ARRAY_OF(others, struct bucket, 262144);
MAP_ARRAY_OF(state, __u64, 4);

static __always_inline __u64 mix(__u64 n)
{
    n ^= n >> 31;
    n *= 0x7fb5d329728ea185ULL;
    n ^= n >> 27;
    n *= 0x81dadef4bc2dd44dULL;
    return n ^ n >> 33;
}
"""
_PROGRAM = """
int NAME(void *ctx)
{
    int at_index = 0, at_time = 1, at_hits = 2;
    __u64 *next = LOOKUP(state, &at_index), *took = LOOKUP(state, &at_time), *hits = LOOKUP(state, &at_hits);
    __u64 begun, found = 0;

    if (!next || !took || !hits)
        return 0;
    begun = bpf_ktime_get_ns();
    for (int i = 0; i < RUN; i++) {
        __u64 number = mix(*next + i + found) % KEYS, key = mix(number);

        for (int j = 0; j < 12; j++) {
            int index = mix(number + j + KEYS) & 262143;
            struct bucket *other = LOOKUP(others, &index);

            if (other)
                *hits += other->place[0];
        }
        BODY
    }
    *took = bpf_ktime_get_ns() - begun;
    *next += RUN;
    *hits += found;
    return 0;
}
"""
_WIDE = "struct wide wide = {{number, key, number, key, number}}; found += LOOKUP(MAP, &wide) != 0;"
_HELD = " || ".join(f"b->place[{place}] == key" for place in range(8))
_BODIES = {
    "try_nothing": "found += key != 0;",
    "try_hash_wide": _WIDE.replace("MAP", "hash_wide"),
    "try_lru_wide": _WIDE.replace("MAP", "lru_wide"),
    "try_hash_narrow": "found += LOOKUP(hash_narrow, &key) != 0;",
    "try_lru_narrow": "found += LOOKUP(lru_narrow, &key) != 0;",
    "try_fingerprints": "int index = key >> 40 & 32767; struct bucket *b = LOOKUP(fingerprints, &index);"
    f"if (b) found += {_HELD};",
    "try_fronted": "int index = key >> 40 & 4095; struct bucket *b = LOOKUP(fronted, &index);"
    f"if (b && ({_HELD})) found++; else if (b && b->place[7]) {{ index = 4096 + (key >> 20 & 32767);"
    f"b = LOOKUP(fronted, &index); if (b) found += {_HELD}; }}",
}
_PROGRAMS = "".join(_PROGRAM.replace("NAME", name).replace("BODY", body) for name, body in _BODIES.items())
_SOURCE = "#include <snoop_holes.h>\n" + source("maps.h") + _MAPS + _PROGRAMS

_KINDS = {
    "try_hash_wide": ("hash, keys of 40 bytes", 131072 * 112),
    "try_lru_wide": ("LRU hash, keys of 40 bytes", 131072 * 112),
    "try_hash_narrow": ("hash, fingerprints of 8 bytes", 131072 * 80),
    "try_lru_narrow": ("LRU hash, fingerprints of 8 bytes", 131072 * 88),
    "try_fingerprints": ("fingerprints in buckets of a cache line", 32768 * 64),
    "try_fronted": ("the same, and 4,096 buckets in front of them (as it is)", (4096 + 32768) * 64),
}
"""Of each: what it is, and about how many bytes the kernel takes for it."""


@dataclass(slots=True)
class Result:
    """Of one kind of map."""

    name: str
    nanoseconds: list[float]
    """Of a look-up, without what making its key takes, by how many keys there are."""
    megabytes: float
    found: float
    """Share of the keys that it still had, of the most."""


class Wide(ctypes.Structure):
    """struct wide."""

    _fields_ = (("word", ctypes.c_uint64 * 5),)


def _mix(number: int) -> int:
    mask = (1 << 64) - 1
    number ^= number >> 31
    number = number * 0x7FB5D329728EA185 & mask
    number ^= number >> 27
    number = number * 0x81DADEF4BC2DD44D & mask
    return number ^ number >> 33


def _fill(maps: dict[str, int], count: int) -> None:
    yes = ctypes.c_uint8(1)
    buckets: dict[int, list[int]] = {}
    fronted: dict[int, list[int]] = {}
    for number in range(count):
        key = _mix(number)
        wide = Wide((ctypes.c_uint64 * 5)(number, key, number, key, number))
        for name in ("hash_wide", "lru_wide"):
            bpfsys.map_update(maps[name], wide, yes)
        for name in ("hash_narrow", "lru_narrow"):
            bpfsys.map_update(maps[name], ctypes.c_uint64(key), yes)
        _take_place(buckets.setdefault(key >> 40 & 32767, []), key)
        front = fronted.setdefault(key >> 40 & 4095, [])
        if len(front) < 8:
            front.append(key)
        else:
            _take_place(fronted.setdefault(4096 + (key >> 20 & 32767), []), key)
    for name, filled in (("fingerprints", buckets), ("fronted", fronted)):
        for index, places in filled.items():
            value = (ctypes.c_uint64 * 8)(*places)
            bpfsys.map_update(maps[name], ctypes.c_uint32(index), value)


def _take_place(places: list[int], key: int) -> None:
    """As the kernel side does: an empty place, or another's."""
    if len(places) < 8:
        places.append(key)
    else:
        places[key >> 1 & 7] = key


def measure() -> list[Result]:
    """Compile, fill, and time. Needs root, BCC, and a kernel that runs raw tracepoint programs on demand."""
    asked = loader.ask_kernel(Plan(ATTACH_RAW))
    results = {label: Result(name, [], size / 1e6, 0.0) for label, (name, size) in _KINDS.items()}
    for count in _COUNTS:
        flags = [*compiler.cflags(ATTACH_RAW, READ_BY_CALLS, kernel.machine()), f"-DKEYS={count}", f"-DRUN={_RUN}"]
        maps, programs = loader.load(compiler.compile_text(_SOURCE, flags), asked, ATTACH_RAW)
        _fill(maps, count)
        nothing, _ = _time(maps, programs["try_nothing"])
        for label, result in results.items():
            took, result.found = _time(maps, programs[label])
            result.nanoseconds.append(max(took - nothing, 0.0))
        for descriptor in (*maps.values(), *programs.values()):
            os.close(descriptor)
    return list(results.values())


def _time(maps: dict[str, int], program: int) -> tuple[float, float]:
    taken = []
    value = ctypes.c_uint64(0)
    for index in range(3):
        bpfsys.map_update(maps["state"], ctypes.c_uint32(index), value)
    for _ in range(_ROUNDS):
        bpfsys.run_program(program)
        bpfsys.map_lookup(maps["state"], ctypes.c_uint32(1), (found := (ctypes.c_uint64 * 1)()))
        taken.append(found[0] / _RUN)
        time.sleep(0)
    bpfsys.map_lookup(maps["state"], ctypes.c_uint32(2), (hits := (ctypes.c_uint64 * 1)()))
    return statistics.median(taken), hits[0] / (_RUN * _ROUNDS)


def table(results: list[Result]) -> str:
    """Shape the results for people and for docs/performance.md."""
    counts = [f"{count:,}" for count in _COUNTS]
    heads = [f"a look-up among {' | among '.join(counts)}", "memory", f"still known of {counts[-1]}"]
    lines = [f"| what was seen is kept in | {' | '.join(heads)} |", "| --- | --- | --- | --- | --- |"]
    for one in results:
        took = " | ".join(f"{nanoseconds:.0f} ns" for nanoseconds in one.nanoseconds)
        lines.append(f"| {one.name} | {took} | {one.megabytes:.1f} MB | {one.found:.1%} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(measure()))
