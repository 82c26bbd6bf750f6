"""`snoop-operator report`: prints what the store holds, for whoever may exec into the operator's pod.

It reads beside the running operator (SQLite's WAL allows it) and writes nothing.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select

from snoop_operator.store import reading
from snoop_operator.store.engine import sqlite_engine, transaction
from snoop_operator.store.interface import StoreError
from snoop_operator.store.schema import pod
from snoop_report.codec import dumps_report


def main(arguments: Sequence[str], file: Path) -> int:
    """Print the reports that match, one JSON document after the other. 1: there is none."""
    parser = argparse.ArgumentParser(
        prog="snoop-operator report", description="Print the evidence of pods, alive or gone, as reports (JSON)."
    )
    parser.add_argument("-n", "--namespace", default="", help="only pods of this namespace")
    parser.add_argument("pod", nargs="?", default="", help="only the pod of this name or UID")
    chosen = parser.parse_args(arguments)
    if not file.exists():
        print(f"snoop-operator: there is no store at {file}", file=sys.stderr)
        return 1
    engine = sqlite_engine(file, "BEGIN")
    try:
        with transaction(engine) as connection:
            query = select(pod.c.uid).order_by(pod.c.namespace, pod.c.name)
            if chosen.namespace:
                query = query.where(pod.c.namespace == chosen.namespace)
            if chosen.pod:
                query = query.where((pod.c.name == chosen.pod) | (pod.c.uid == chosen.pod))
            found = [reading.report(connection, uid, time.time()) for uid in connection.scalars(query).all()]
    except StoreError as error:
        print(f"snoop-operator: {error}", file=sys.stderr)
        return 1
    finally:
        engine.dispose()
    for report in found:
        if report is not None:
            sys.stdout.write(dumps_report(report))
    if not found:
        print("snoop-operator: no pod of that name has reported", file=sys.stderr)
    return 0 if found else 1
