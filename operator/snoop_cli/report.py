"""`snoop report`: the summary of evidence, and what keeps it from being complete."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import click

from snoop_cli import options, output, sources
from snoop_cli.advice import ADVICE
from snoop_cli.evidence import Shortcoming, gather
from snoop_cli.formats import structured
from snoop_cli.formats.document import document as page
from snoop_cli.formats.table import Column, fields, table
from snoop_cli.options import examples
from snoop_cli.spelling import duration, moment, printable, several, shown
from snoop_cli.summary import ContainerSummary, Summary, kinds_used, summarise
from snoop_report.codec import to_rfc3339
from snoop_report.model import Outcome
from snoop_report.paths import escape

_NAMED = 3
"""Pods, recorders and words of one gap that a table names; `-o wide` names all."""
_WIDTH = 100
"""Columns of sentences where output is no terminal."""


@click.command(
    epilog=examples(
        "kubectl snoop report web -n shop",
        "snoop report web.json",
        "snoop report pods/*.json -o wide",
        "snoop report pods/*.json -o html > report.html",
        "kubectl exec POD -c snoop-agent -- cat /data/snoop-report.json | snoop report -",
        "snoop report web.json --require-complete && snoop files web.json",
    )
)
@options.output_format("table", "wide", "json", "yaml", "name", "html")
@options.in_cluster()
@options.require_complete
@click.argument("evidence", nargs=-1, metavar="PROFILE|FILE...", type=options.EVIDENCE)
def report(evidence: tuple[str, ...], form: str, require_complete: bool, **cluster: Any) -> None:
    """Sum up the evidence and its gaps.

    Tells containers, period, how many paths were used and how, each gap in the evidence, and what to do about it.

    A PROFILE is a SnoopProfile of the cluster; none, with -n, -A or -l, means all of them. What is the name of a file
    is that file; `sp/NAME` never is. A FILE is a report, of an agent, of `snoop trace`, of `snoop-operator report` or
    of upstream snoop; `-` is standard input. Reports of the same pod are united. Paths are counted once for each
    container name and image, whatever the number of pods. USED counts paths asked for and what they resolved to.
    """
    found = gather(sources.read(options.chosen(evidence, cluster)))
    summary = summarise(found)
    if form == "name":
        output.write_lines(printable(pod) for pod in summary.pods)
    elif form in ("json", "yaml"):
        structured.write(form, document(summary))
    elif form == "html":
        output.write(page(found))
    else:
        output.write_lines(_text(summary, form == "wide"))
    if require_complete:
        options.settle(found, required=True)


def _text(summary: Summary, wide: bool) -> Iterator[str]:
    yield from fields(_head(summary, wide))
    if summary.containers:
        yield ""
        yield from _containers(summary.containers, wide)
    kinds = kinds_used(summary.containers)
    if kinds:
        yield ""
        columns = [Column("KIND"), Column("PATHS", number=True)]
        yield from table(columns, [(kind.value, str(number)) for kind, number in kinds])
    yield from _gaps(summary.shortcomings, wide)


def _head(summary: Summary, wide: bool) -> Iterator[tuple[str, str]]:
    number = f"{len(summary.pods)} pods or commands: " if len(summary.pods) > 1 else ""
    yield "recorded of", f"{number}{_some(summary.pods, wide)}"
    if wide and summary.nodes:
        yield "nodes", _some(summary.nodes, wide)
    if summary.start:
        yield "period", f"{moment(summary.start)} to {moment(summary.end)} ({duration(summary.end - summary.start)})"
    yield "recorded by", _some(summary.recorders, wide)
    if "/" in summary.exclude:
        yield "left out", "not known: a report does not say"
    else:
        yield "left out", ", ".join(map(shown, summary.exclude)) or "nothing"
    if summary.cap:
        yield "kept", f"{several(summary.cap, 'path')} a container at most"
    if summary.complete:
        yield "evidence", output.style("complete: nothing is known to be missing", "green")
    else:
        codes = len({one.code for one in summary.shortcomings})
        yield "evidence", output.style(f"INCOMPLETE: {several(codes, 'gap')}, see below", "red", bold=True)


def _some(names: Sequence[str], everything: bool) -> str:
    kept = names if everything else names[:_NAMED]
    further = len(names) - len(kept)
    return "; ".join(map(printable, kept)) + (f"; and {further} more" if further else "")


def _containers(containers: Sequence[ContainerSummary], wide: bool) -> Iterator[str]:
    columns = [Column("CONTAINER"), Column("IMAGE", elastic=True)]
    figures = ["PODS", "USED", "MISSING", "DENIED", "FAILED", "EVENTS", "LOST"]
    columns += [Column(heading, number=True) for heading in figures]
    columns += [Column("COMPLETE"), *([Column("DIGEST"), Column("IDS"), Column("GAPS")] if wide else [])]
    yield from table(columns, (_row(one, wide) for one in containers), output.width())


def _row(one: ContainerSummary, wide: bool) -> list[str]:
    counts = [len(one.pods), *(one.paths(outcome) for outcome in Outcome), one.events, one.dropped]
    row = [printable(one.name), printable(one.image) or "-", *map(str, counts), str(not one.gaps)]
    if wide:
        ids = ",".join(printable(identifier[:12]) for identifier in one.ids)
        row += [printable(one.digest) or "-", ids, ",".join(sorted(one.gaps)) or "-"]
    return row


def _gaps(shortcomings: Sequence[Shortcoming], wide: bool) -> Iterator[str]:
    by_code: dict[str, list[Shortcoming]] = {}
    for one in shortcomings:
        by_code.setdefault(one.code, []).append(one)
    for code, found in by_code.items():
        pods = len({one.pod for one in found})
        yield ""
        title = output.style(code, "red", bold=True)
        since = min((one.since for one in found if one.since), default=0.0)
        yield f"{title}   {several(pods, 'pod')}" + (f", since {moment(since)}" if since else "")
        yield from _sentences("seen", _words(found, wide))
        advice = ADVICE.get(code)
        if advice:
            yield from _sentences("means", [advice.means])
            yield from _sentences("to do", [advice.do])


def _words(found: Sequence[Shortcoming], wide: bool) -> list[str]:
    """Give the agent's own words, each once, with where it said them; the most frequent first."""
    told: dict[str, list[Shortcoming]] = {}
    for one in found:
        told.setdefault(printable(one.message) or one.code.replace("_", " "), []).append(one)
    ordered = sorted(told.items(), key=lambda item: (-sum(one.count for one in item[1]), item[0]))
    kept = ordered if wide else ordered[:_NAMED]
    lines = []
    for words, places in kept:
        count = sum(one.count for one in places)
        times = f", {count} times" if count > 1 else ""
        where = sorted({f"{one.pod} {one.container}".strip() for one in places})
        lines.append(f"{words} ({_some(where, wide)}{times})")
    if len(kept) < len(ordered):
        lines.append(f"and {len(ordered) - len(kept)} more: -o wide")
    return lines


def _sentences(label: str, sentences: Sequence[str]) -> Iterator[str]:
    room = output.width() or _WIDTH
    for number, sentence in enumerate(sentences):
        start = f"  {'' if number else label:<6} "
        yield from textwrap.wrap(
            sentence,
            max(40, room),
            initial_indent=start,
            subsequent_indent=" " * len(start),
            break_long_words=False,
            break_on_hyphens=False,
        )


def document(summary: Summary) -> dict[str, Any]:
    """Shape the summary for JSON."""
    return {
        "complete": summary.complete,
        "pods": list(summary.pods),
        "nodes": list(summary.nodes),
        "recorded_by": list(summary.recorders),
        "started_at": to_rfc3339(summary.start) if summary.start else None,
        "last_updated_at": to_rfc3339(summary.end) if summary.end else None,
        "exclude": [escape(prefix) for prefix in summary.exclude],
        "max_unique_files": summary.cap,
        "containers": [
            {
                "name": one.name,
                "image": one.image,
                "digest": one.digest,
                "ids": one.ids,
                "pods": len(one.pods),
                "paths": {outcome.value: one.paths(outcome) for outcome in Outcome},
                "kinds": {kind.value: len(paths) for kind, paths in sorted(one.kinds.items())},
                "total_events": one.events,
                "dropped_events": one.dropped,
                "complete": not one.gaps,
                "gaps": sorted(one.gaps),
            }
            for one in summary.containers
        ],
        "gaps": [
            {
                "code": one.code,
                "message": one.message,
                "since": to_rfc3339(one.since),
                "count": one.count,
                "pod": one.pod,
                "container": one.container,
                "means": ADVICE[one.code].means if one.code in ADVICE else "",
                "to_do": ADVICE[one.code].do if one.code in ADVICE else "",
            }
            for one in summary.shortcomings
        ],
    }
