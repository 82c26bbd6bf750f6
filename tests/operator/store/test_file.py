import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, inspect, text

from snoop_operator.store import migrations, schema
from snoop_operator.store.engine import sqlite_engine, transaction
from snoop_operator.store.interface import StoreError, StoreInUseError, StoreTooNewError
from snoop_operator.store.sql import SqlStore, open_sqlite

WRITER = """
    import asyncio, sys
    from pathlib import Path
    from snoop_operator.store.interface import PodKey
    from snoop_operator.store.sql import open_sqlite
    from snoop_report.model import *

    async def main():
        store = await open_sqlite(Path(sys.argv[1]))
        for sequence in range(1, 100_000):
            container = ContainerReport("c1", 1, "/c1", total_events=sequence)
            for number in range(50):
                path = f"/{sequence}/{number}"
                seen = Observation(path, path, Outcome.EXISTS, frozenset({Kind.READ}), 1.0, 1.0)
                container.observations[seen.key] = seen
            delta = Delta("b1", sequence, Report(containers=[container]))
            await store.accept(PodKey("ns", "pod", "u1"), delta, {}, 1.0)
            print(sequence, flush=True)

    asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledged", [1, 9, 23])
async def test_kill_minus_nine_loses_nothing_that_was_acknowledged(file: Path, acknowledged: int) -> None:
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:  # noqa: ASYNC220 - started, not waited for
        assert writer.stdout is not None
        last = 0
        while last < acknowledged:
            last = int(await asyncio.to_thread(writer.stdout.readline))
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split()
    last = int(rest[-1]) if rest else last
    store = await open_sqlite(file, wait=0)
    try:
        report = await store.report("u1", 1.0)
        assert report is not None
        files = set(report.containers[0].files)
        assert {f"/{sequence}/{number}" for sequence in range(1, last + 1) for number in range(50)} <= files
        assert len(files) % 50 == 0, "half a delta is in the store"
        assert report.total_events == len(files) // 50
    finally:
        await store.close()


async def test_two_processes_do_not_share_a_store(store: SqlStore, file: Path) -> None:
    with pytest.raises(StoreInUseError, match=f"in use by another process .*process {os.getpid()}"):
        await open_sqlite(file, wait=0)


async def test_the_next_process_waits_until_the_last_has_let_go(file: Path) -> None:
    first = await open_sqlite(file, wait=0)
    second = asyncio.create_task(open_sqlite(file, wait=5))
    await asyncio.sleep(0.15)
    assert not second.done()
    await first.close()
    await (await second).close()


async def test_a_closed_store_says_so(file: Path) -> None:
    store = await open_sqlite(file, wait=0)
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.check()


def test_what_is_no_database_is_refused_and_left_alone(file: Path) -> None:
    file.write_text("this is somebody's letter, and long enough to be one" * 100)
    with pytest.raises(StoreError, match=r"snoop\.db: .*not a database"):
        asyncio.run(open_sqlite(file, wait=0))
    assert file.read_text().startswith("this is")


async def test_a_directory_that_is_not_there_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot open .*No such file"):
        await open_sqlite(tmp_path / "gone" / "snoop.db", wait=0)


async def test_a_store_of_a_newer_program_is_refused(file: Path) -> None:
    await (await open_sqlite(file, wait=0)).close()
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    connection.close()
    with pytest.raises(StoreTooNewError, match=f"schema version 99, this program knows {migrations.VERSION}"):
        await open_sqlite(file, wait=0)


async def test_another_programs_database_is_refused(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE meta (key TEXT, value TEXT)")
    connection.close()
    with pytest.raises(StoreError, match="database of its own"):
        await open_sqlite(file, wait=0)


async def test_a_full_disk_is_an_error_and_half_of_a_delta_is_not_kept(store: SqlStore, make: Any) -> None:
    await store.accept(make.key(), make.delta(1, make.container(make.seen("/a"))), {}, 1.0)
    with transaction(store._writer) as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        connection.execute(text(f"PRAGMA max_page_count = {pages + 4}"))
    many = make.container(*(make.seen(f"/{number:0500}") for number in range(500)))
    with pytest.raises(StoreError, match="full"):
        await store.accept(make.key(), make.delta(2, many), {}, 1.0)
    report = await store.report("u1", 1.0)
    assert report is not None
    assert report.containers[0].files == ["/a"]
    with transaction(store._writer) as connection:
        connection.execute(text("PRAGMA max_page_count = 1000000"))
    await store.check()
    assert not (await store.accept(make.key(), make.delta(2, many), {}, 1.0)).resend


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_disk_that_takes_no_more_is_noticed_by_the_readiness_check(tmp_path: Path) -> None:
    program = """
        import asyncio, contextlib, os, sys
        from pathlib import Path
        from snoop_operator.store.interface import StoreError
        from snoop_operator.store.sql import open_sqlite

        async def main(directory):
            store = await open_sqlite(directory / "snoop.db")
            await store.check()
            with open(directory / "other", "wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(1 << 12))
            try:
                for _ in range(2000):
                    await store.check()
            except StoreError as error:
                print("noticed:", error)
            os._exit(0)

        asyncio.run(main(Path(sys.argv[1])))
    """
    script = 'mount -t tmpfs -o size=4m none "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), sys.executable, textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("noticed: the store failed: "), done
    assert "full" in done.stdout or "I/O" in done.stdout


def test_migrations_run_in_order_once_each_and_all_or_nothing(file: Path) -> None:
    engine = sqlite_engine(file, "BEGIN IMMEDIATE")
    ran: list[int] = []

    def second(connection: Connection) -> None:
        ran.append(2)
        connection.execute(text("ALTER TABLE pod ADD COLUMN colour TEXT"))

    def third(connection: Connection) -> None:
        ran.append(3)
        connection.execute(text("DROP TABLE nowhere"))

    with transaction(engine) as connection:
        made = migrations.prepare(connection, 1, {})
    with pytest.raises(StoreError, match="nowhere"), transaction(engine) as connection:
        migrations.prepare(connection, 3, {2: second, 3: third})
    with transaction(engine) as connection:
        assert "colour" not in {one["name"] for one in inspect(connection).get_columns("pod")}
    for _ in range(2):
        with transaction(engine) as connection:
            assert migrations.prepare(connection, 2, {2: second}) == (made[0], False)
    assert ran == [2, 3, 2]
    engine.dispose()


async def test_a_store_of_version_one_is_brought_to_the_shape_of_a_new_one(file: Path, tmp_path: Path) -> None:
    old = Path(__file__).parent / "version1.sql"
    with sqlite3.connect(file) as connection:
        connection.executescript(old.read_text())
    connection.close()
    store = await open_sqlite(file, wait=0)
    try:
        report = await store.report("u1", 1.0)
        assert report is not None
        assert report.containers[0].files == ["/a"]
        assert report.exclude == ("/",), "nobody knows what was left out"
        unreported = await store.report("u2", 1.0)
        assert unreported is not None
        assert unreported.exclude == ()
        await store.check()
    finally:
        await store.close()
    await (await open_sqlite(tmp_path / "new.db", wait=0)).close()

    def shape(path: Path) -> dict[str, set[tuple[str, bool, bool]]]:
        engine = sqlite_engine(path, "BEGIN")
        tables = inspect(engine)
        found = {
            name: {(one["name"], one["nullable"], bool(one["primary_key"])) for one in tables.get_columns(name)}
            for name in tables.get_table_names()
        }
        engine.dispose()
        return found

    assert shape(file) == shape(tmp_path / "new.db")


def test_every_version_after_the_first_has_its_step() -> None:
    assert sorted(migrations.STEPS) == list(range(2, migrations.VERSION + 1))


def test_every_kind_and_outcome_has_a_number_of_its_own() -> None:
    from snoop_report.model import Kind, Outcome

    assert set(schema.KINDS) == set(Kind)
    assert len(set(schema.KINDS.values())) == len(Kind)
    assert all(bit.bit_count() == 1 for bit in schema.KINDS.values())
    assert set(schema.OUTCOMES) == set(Outcome)
    assert len(set(schema.OUTCOMES.values())) == len(Outcome)


async def test_acknowledged_deltas_are_synced_to_the_disk(store: SqlStore) -> None:
    with transaction(store._writer) as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar_one() == 1
