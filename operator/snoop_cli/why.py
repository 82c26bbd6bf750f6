"""`snoop why`: every piece of evidence for one file's verdict."""

from collections.abc import Iterator
from typing import Any

import click

from snoop_cli import judged, options, output
from snoop_cli.evidence import Evidence, container_name, pod_name
from snoop_cli.exits import Failure
from snoop_cli.files import kinds
from snoop_cli.formats import structured
from snoop_cli.formats.table import Column, fields, table
from snoop_cli.options import examples
from snoop_cli.spelling import moment, printable, several, shown, size
from snoop_image.verdict import Judgement, Why
from snoop_report.codec import to_rfc3339
from snoop_report.model import ContainerReport, Observation
from snoop_report.paths import escape, normalise


@click.command(
    epilog=examples(
        "snoop why /usr/bin/git web.json --archive web.tar",
        "snoop why /usr/lib/x86_64-linux-gnu/libz.so.1 trace.json --rootfs /srv/root",
    )
)
@options.output_format("table", "json", "yaml")
@judged.options
@options.in_cluster()
@click.argument("path", metavar="PATH")
@click.argument("evidence", nargs=-1, metavar="PROFILE|FILE...", type=options.EVIDENCE)
def why(path: str, evidence: tuple[str, ...], form: str, **given: Any) -> None:
    """Tell why a file of an image has its verdict.

    Every reason, every observation that touches PATH and in which pods it was made, and the packages that it belongs
    to. PATH may be any name for the file; a link is meant itself, not what it leads to.
    """
    if not path.startswith("/"):
        raise Failure(f"{path}: does not begin with /, as every path in a container does")
    found = judged.judge(evidence, given)
    told = found.judgement.why(normalise(path))
    if told is None:
        raise Failure(f"{shown(path)}: the image has no such file; `snoop files` lists names that were asked for")
    pods = _pods(found.evidence)
    if form == "table":
        output.write_lines(_text(told, found.judgement, pods))
    else:
        structured.write(form, _document(told, found.judgement, pods))


_Pods = dict[tuple[object, ...], list[str]]


def _pods(evidence: Evidence) -> _Pods:
    """Say for each observation, by its key, in which pods and containers it was made."""
    found: _Pods = {}
    for report in evidence.reports:
        for container in report.containers:
            for seen in container.observations.values():
                found.setdefault(_key(seen), []).append(_where(pod_name(report), container))
    return found


def _key(seen: Observation) -> tuple[object, ...]:
    return (seen.path, seen.target, seen.outcome)


def _where(pod: str, container: ContainerReport) -> str:
    return f"{printable(pod)} {printable(container_name(container))}"


def _text(told: Why, judgement: Judgement, pods: _Pods) -> Iterator[str]:
    entry = told.entry
    led = f" -> {shown(entry.target)}" if entry.target else ""
    pairs = [("path", f"{shown(told.path)}{led}"), ("verdict", output.style(told.verdict.value, bold=True))]
    pairs += [("type", f"{entry.type.value}, {entry.mode:04o} {entry.uid}:{entry.gid}, {size(entry.size)}")]
    if told.packages:
        pairs.append(("package", ", ".join(map(printable, told.packages))))
    if len(judgement.inventory.layers) > 1:
        made = printable(judgement.inventory.layers[entry.layer].command)
        pairs.append(("layer", f"{entry.layer + 1}{f': {made}' if made else ''}"))
    pairs.append(("evidence", printable(judgement.grade.words)))
    yield from fields(pairs)
    yield ""
    yield from table(
        [Column("REASON"), Column("WORDS")],
        [(one.code.value, printable(one.words)) for one in told.reasons],
    )
    # What a program touched is evidence that it ran; once is enough to see.
    listed: list[Observation] = []
    ran: list[Observation] = []
    for seen in told.observations:
        (ran if seen.executable == told.path != seen.target else listed).append(seen)
    listed += ran[:1]
    if listed:
        yield ""
        headings = ("FIRST SEEN", "LAST SEEN", "KINDS", "OUTCOME", "IN", "PROGRAM", "NAME")
        yield from table([Column(one) for one in headings], (_row(seen, pods) for seen in listed))
    if len(ran) > 1:
        yield f"and {several(len(ran) - 1, 'more name')} that it touched as a program: -o json"


def _row(seen: Observation, pods: _Pods) -> tuple[str, ...]:
    where = sorted(set(pods.get(_key(seen), ())))
    more = f" and {len(where) - 1} more" if len(where) > 1 else ""
    led = f" -> {shown(seen.target)}" if seen.target and seen.target != seen.path else ""
    return (
        moment(seen.first_seen),
        moment(seen.last_seen),
        kinds(seen.kinds),
        seen.outcome.value,
        f"{where[0]}{more}" if where else "-",
        shown(seen.executable) or "-",
        f"{shown(seen.path)}{led}",
    )


def _document(told: Why, judgement: Judgement, pods: _Pods) -> dict[str, Any]:
    entry = told.entry
    return {
        "path": escape(told.path),
        "verdict": told.verdict.value,
        "type": entry.type.value,
        "size": entry.size,
        "mode": f"{entry.mode:04o}",
        "owner": [entry.uid, entry.gid],
        "target": escape(entry.target),
        "layer": judgement.inventory.layers[entry.layer].digest if judgement.inventory.layers else "",
        "packages": list(map(printable, told.packages)),
        "complete": judgement.grade.complete,
        "scope": judgement.grade.scope,
        "reasons": [
            {"code": one.code.value, "words": printable(one.words), "because": escape(one.because)}
            for one in told.reasons
        ],
        "observations": [
            {
                "path": escape(seen.path),
                "target": escape(seen.target),
                "outcome": seen.outcome.value,
                "kinds": sorted(map(str, seen.kinds)),
                "first_seen": to_rfc3339(seen.first_seen),
                "last_seen": to_rfc3339(seen.last_seen),
                "executable": escape(seen.executable),
                "volume": seen.volume,
                "in": sorted(set(pods.get(_key(seen), ()))),
            }
            for seen in told.observations
        ],
    }
