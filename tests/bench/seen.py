"""How to remember what was seen: what one look-up in each kind of map takes, in the kernel, and its memory.

A program looks 100,000 keys up in an order that no cache can foresee, 512 at a run: `python -m tests.bench.seen`.
"""

import ctypes
import statistics
import time
from dataclasses import dataclass

from snoop_agent import bpfsys, compiler, kernel, loader
from snoop_agent.plan import ATTACH_RAW, READ_BY_CALLS, Plan
from snoop_agent.sources import source

_KEYS = 100_000
_ROUNDS = 400

_MAPS = """
struct wide { __u64 word[5]; };
struct bucket { __u64 place[8]; };
MAP(hash_wide, HASH, struct wide, __u8, 131072);
MAP(lru_wide, LRU_HASH, struct wide, __u8, 131072);
MAP(hash_narrow, HASH, __u64, __u8, 131072);
MAP(lru_narrow, LRU_HASH, __u64, __u8, 131072);
MAP_ARRAY_OF(fingerprints, struct bucket, 32768);
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
    for (int i = 0; i < 512; i++) {
        __u64 number = mix(*next + i) % KEYS, key = mix(number);

        BODY
    }
    *took = bpf_ktime_get_ns() - begun;
    *next += 512;
    *hits += found;
    return 0;
}
"""
_WIDE = "struct wide wide = {{number, key, number, key, number}}; found += LOOKUP(MAP, &wide) != 0;"
_BODIES = {
    "try_nothing": "found += key != 0;",
    "try_hash_wide": _WIDE.replace("MAP", "hash_wide"),
    "try_lru_wide": _WIDE.replace("MAP", "lru_wide"),
    "try_hash_narrow": "found += LOOKUP(hash_narrow, &key) != 0;",
    "try_lru_narrow": "found += LOOKUP(lru_narrow, &key) != 0;",
    "try_fingerprints": "int index = key >> 40 & 32767; struct bucket *b = LOOKUP(fingerprints, &index);"
    f"if (b) found += {' || '.join(f'b->place[{place}] == key' for place in range(8))};",
}
_PROGRAMS = "".join(_PROGRAM.replace("NAME", name).replace("BODY", body) for name, body in _BODIES.items())
_SOURCE = "#include <snoop_holes.h>\n" + source("maps.h") + _MAPS + _PROGRAMS

_KINDS = {
    "try_hash_wide": ("hash, keys of 40 bytes", 131072 * 112),
    "try_lru_wide": ("LRU hash, keys of 40 bytes", 131072 * 112),
    "try_hash_narrow": ("hash, fingerprints of 8 bytes", 131072 * 80),
    "try_lru_narrow": ("LRU hash, fingerprints of 8 bytes", 131072 * 88),
    "try_fingerprints": ("fingerprints in buckets of a cache line", 32768 * 64),
}
"""Of each: what it is, and about how many bytes the kernel takes for it."""


@dataclass(frozen=True, slots=True)
class Result:
    """Of one kind of map."""

    name: str
    nanoseconds: float
    """Of a look-up, without what making its key takes."""
    megabytes: float
    found: float
    """Share of the keys that it still had."""


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


def _fill(maps: dict[str, int]) -> None:
    yes = ctypes.c_uint8(1)
    buckets: dict[int, list[int]] = {}
    for number in range(_KEYS):
        key = _mix(number)
        wide = Wide((ctypes.c_uint64 * 5)(number, key, number, key, number))
        for name in ("hash_wide", "lru_wide"):
            bpfsys.map_update(maps[name], wide, yes)
        for name in ("hash_narrow", "lru_narrow"):
            bpfsys.map_update(maps[name], ctypes.c_uint64(key), yes)
        places = buckets.setdefault(key >> 40 & 32767, [])
        # As the kernel side does: an empty place, or another's.
        if len(places) < 8:
            places.append(key)
        else:
            places[key >> 1 & 7] = key
    for index, places in buckets.items():
        value = (ctypes.c_uint64 * 8)(*places)
        bpfsys.map_update(maps["fingerprints"], ctypes.c_uint32(index), value)


def measure() -> list[Result]:
    """Compile, fill, and time. Needs root, BCC, and a kernel that runs raw tracepoint programs on demand."""
    asked = loader.ask_kernel(Plan(ATTACH_RAW))
    flags = [*compiler.cflags(ATTACH_RAW, READ_BY_CALLS, kernel.machine()), f"-DKEYS={_KEYS}"]
    maps, programs = loader.load(compiler.compile_text(_SOURCE, flags), asked, ATTACH_RAW)
    _fill(maps)
    nothing, _ = _time(maps, programs["try_nothing"])
    results = []
    for label, (name, size) in _KINDS.items():
        took, found = _time(maps, programs[label])
        results.append(Result(name, max(took - nothing, 0.0), size / 1e6, found))
    return results


def _time(maps: dict[str, int], program: int) -> tuple[float, float]:
    taken = []
    value = ctypes.c_uint64(0)
    for index in range(3):
        bpfsys.map_update(maps["state"], ctypes.c_uint32(index), value)
    for _ in range(_ROUNDS):
        bpfsys.run_program(program)
        bpfsys.map_lookup(maps["state"], ctypes.c_uint32(1), (found := (ctypes.c_uint64 * 1)()))
        taken.append(found[0] / 512)
        time.sleep(0)
    bpfsys.map_lookup(maps["state"], ctypes.c_uint32(2), (hits := (ctypes.c_uint64 * 1)()))
    return statistics.median(taken), hits[0] / (512 * _ROUNDS)


def table(results: list[Result]) -> str:
    """Shape the results for people and for docs/performance.md."""
    lines = ["| what was seen is kept in | a look-up | memory | still known of 100,000 |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {one.name} | {one.nanoseconds:.0f} ns | {one.megabytes:.1f} MB | {one.found:.1%} |" for one in results
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(measure()))
