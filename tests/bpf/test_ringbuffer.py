"""The reader against the kernel's own ring: what a program writes is read, whole, in order, across its end."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from snoop_agent import bpfsys, kernel
from snoop_agent.ringbuffer import RingBuffer

pytestmark = [
    pytest.mark.bpf,
    pytest.mark.skipif(not kernel.may_trace(), reason="needs root: makes maps and programs"),
]

SIZE = 4096
LENGTH = 40


def program(ring: int) -> int:
    """Load a program that writes 40 bytes of its stack, the first 8 of them the time, into `ring`."""
    code = b"".join(
        bytes.fromhex(line)
        for line in (
            "8500000005000000",  # call bpf_ktime_get_ns
            "7b0ad8ff00000000",  # *(u64 *)(r10 - 40) = r0
            "b701000007000000",  # r1 = 7
            "7b1ae0ff00000000",  # *(u64 *)(r10 - 32) = r1
            "7b1ae8ff00000000",
            "7b1af0ff00000000",
            "7b1af8ff00000000",
            f"1811 0000 {ring.to_bytes(4, 'little').hex()} 0000000000000000",  # r1 = ring
            "bfa2000000000000",  # r2 = r10
            "07020000d8ffffff",  # r2 += -40
            "b703000028000000",  # r3 = 40
            "b704000000000000",  # r4 = 0
            "8500000082000000",  # call bpf_ringbuf_output
            "b700000000000000",  # r0 = 0
            "9500000000000000",  # exit
        )
    )
    return bpfsys.load_program(code, "snoop_test", bpfsys.PROGRAM_RAW_TRACEPOINT)


@pytest.fixture
def ring() -> Iterator[tuple[RingBuffer, int]]:
    descriptor = bpfsys.map_create(bpfsys.MAP_RINGBUF, "snoop_test", 0, 0, SIZE)
    writer = program(descriptor)
    assert bpfsys.map_entries(descriptor) == SIZE
    reader = RingBuffer(descriptor, SIZE, ahead=2 * SIZE)
    yield reader, writer
    reader.close()
    os.close(writer)
    os.close(descriptor)


def test_records_come_whole_and_in_order_across_the_rings_end(ring: tuple[RingBuffer, int]) -> None:
    reader, writer = ring
    seen: list[int] = []
    # 48 bytes each with their heads: 4096 is no multiple of that, so some wrap.
    for _ in range(40):
        for _ in range(17):
            bpfsys.run_program(writer)
        found = reader.poll(0)
        assert len(found) == 17
        for record in found:
            assert len(record) == LENGTH
            assert record[8:] == (7).to_bytes(8, "little") * 4
            seen.append(int.from_bytes(record[:8], "little"))
    assert seen == sorted(seen)
    assert len(set(seen)) == len(seen)
    assert reader.poll(0) == []


def test_a_full_ring_gives_what_it_holds_and_takes_more_afterwards(ring: tuple[RingBuffer, int]) -> None:
    reader, writer = ring
    for _ in range(200):
        bpfsys.run_program(writer)
    assert len(reader.poll(0)) == SIZE // 48
    bpfsys.run_program(writer)
    assert len(reader.poll(0)) == 1


def test_what_waits_to_be_looked_at_takes_no_room_in_the_ring_up_to_a_limit(
    ring: tuple[RingBuffer, int],
) -> None:
    reader, writer = ring
    reader._batch = 1
    fits = SIZE // 48
    looked_at = []
    for _ in range(4):
        for _ in range(fits):
            bpfsys.run_program(writer)
        looked_at += reader.poll(0)
    reader._batch = SIZE
    while found := reader.poll(0):
        looked_at += found
    # Three waves whole; of the fourth, what the one record gave room for that was copied in spite of the limit.
    assert len(looked_at) == 3 * fits + 1
    times = [int.from_bytes(record[:8], "little") for record in looked_at]
    assert times == sorted(set(times))


def test_a_batch_is_not_exceeded(ring: tuple[RingBuffer, int]) -> None:
    reader, writer = ring
    reader._batch = 10
    for _ in range(25):
        bpfsys.run_program(writer)
    assert [len(reader.poll(0)) for _ in range(4)] == [10, 10, 5, 0]


def test_waiting_ends_with_a_record(ring: tuple[RingBuffer, int]) -> None:
    reader, writer = ring
    threading.Timer(0.1, bpfsys.run_program, [writer]).start()
    begun = time.monotonic()
    assert len(reader.poll(5.0)) == 1
    assert time.monotonic() - begun < 3.0


def test_waiting_ends_with_a_signal_and_with_the_time(ring: tuple[RingBuffer, int]) -> None:
    reader, _ = ring
    assert reader.poll(0.05) == []
    came: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: came.append(number))
    try:
        threading.Timer(0.1, signal.pthread_kill, [threading.main_thread().ident, signal.SIGUSR1]).start()
        begun = time.monotonic()
        assert reader.poll(5.0) == []
        assert time.monotonic() - begun < 3.0
        assert came == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_what_cannot_be_mapped_is_an_error() -> None:
    array = bpfsys.map_create(bpfsys.MAP_ARRAY, "snoop_test", 4, 8, 1)
    try:
        with pytest.raises(OSError, match=r"."):
            RingBuffer(array, SIZE)
    finally:
        os.close(array)
