import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from snoop_agent import spool, wire
from snoop_agent.recorder import Recorder
from snoop_agent.reportfile import LARGE_INTERVALS, ReportFile
from snoop_report.codec import loads_report, report_to_dict
from snoop_report.model import Gap, GapCode, Identity


@pytest.fixture
def told(event: Any, announcement: Any) -> Recorder:
    recorder = Recorder(boot_time=lambda: 1_700_000_000.0)
    recorder.record([event("/bin/sh", kinds=wire.EXECUTE, target=b"/usr/bin/dash"), announcement()])
    recorder.record(
        [event("/tmp/\udcff".encode("utf-8", "surrogateescape")), event('/tmp/"\n'), event("/no", error=-2)]
    )
    recorder.record([event("/a", container=78, kinds=wire.EXECUTE), announcement(78, "d" * 64)])
    recorder.identify({"d" * 64: Identity("side", "busybox", "sha256:1")})
    recorder.gap(Gap(GapCode.BLIND_SPOT, "x", 1.0))
    return recorder


def test_the_streamed_report_is_the_codecs(told: Recorder) -> None:
    text = b"".join(spool.report_chunks(told))
    report = loads_report(text)

    assert json.loads(text) == report_to_dict(report)
    assert [(one.name, one.files) for one in report.containers] == [
        ("c" * 64, ["/bin/sh", '/tmp/"\n', "/tmp/\udcff", "/usr/bin/dash"]),
        ("side", ["/a"]),
    ]
    assert report.containers[0].missing == ["/no"]
    assert not report.complete


def test_a_report_without_containers_is_one_too() -> None:
    assert loads_report(b"".join(spool.report_chunks(Recorder()))).containers == []


def test_writing_many_files_takes_little_memory_beside_them(event: Any, announcement: Any, tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.record([event("/bin/app", kinds=wire.EXECUTE), announcement()])
    tracemalloc.start()
    try:
        recorder.record(
            [event(f"/usr/lib/python3/dist-packages/some/module{number:06d}.py") for number in range(20_000)]
        )
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        size = spool.write(tmp_path / "report.json", spool.report_chunks(recorder))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert size > 4_000_000
    assert peak < 1.6 * held


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    spool.write(path, [b"old"])

    def breaking() -> Iterator[bytes]:
        yield b"new"
        raise OSError(28, "No space left on device")

    with pytest.raises(spool.SpoolError, match=r"cannot write .*file: No space left"):
        spool.write(path, breaking())
    with pytest.raises(spool.SpoolError, match="larger than 5 bytes"):
        spool.write(path, [b"four", b"four"], limit=5)

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_that_cannot_be_written_is_counted_and_said_once(
    told: Recorder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = ReportFile(tmp_path / "no" / "report.json", 30.0, told)

    file.write()
    file.write()

    assert (file.writes, file.errors) == (0, 2)
    assert [record.levelname for record in caplog.records if record.levelno > 10] == ["ERROR"]
    (tmp_path / "no").mkdir()
    file.write()
    assert file.writes == 1


def test_the_report_is_written_at_once_then_soon_after_the_first_evidence_then_by_interval(
    event: Any, tmp_path: Path
) -> None:
    recorder = Recorder()
    file = ReportFile(tmp_path / "report.json", 30.0, recorder)
    assert file.due() == 0.0
    file.act(100.0)
    assert file.due() == 130.0
    recorder.record([event("/a")])
    assert file.due() == 102.0
    file.act(102.0)
    assert file.due() == 132.0
    assert loads_report((tmp_path / "report.json").read_bytes()).containers[0].files == ["/a"]


def test_a_large_report_that_would_say_the_same_is_seldom_written(event: Any, tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.record([event("/" + "x" * 200 + str(number)) for number in range(3000)])
    file = ReportFile(tmp_path / "report.json", 30.0, recorder)
    file.act(1000.0)
    file._written_at = 1000.0
    for interval in range(1, LARGE_INTERVALS):
        file.act(1000.0 + 30 * interval)
    assert file.writes == 1
    file.act(1000.0 + 30 * LARGE_INTERVALS)
    assert file.writes == 2
    recorder.record([event("/new")])
    file.act(file.due())
    assert file.writes == 3
