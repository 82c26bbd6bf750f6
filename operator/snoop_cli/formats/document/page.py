"""What of the HTML report can be read without its script: verdict, gaps, how it was recorded. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from snoop_cli.advice import ADVICE
from snoop_cli.evidence import Shortcoming
from snoop_cli.formats.document.figures import Growth, Kin, Sum
from snoop_cli.spelling import duration, moment, printable, several, shown, size
from snoop_cli.summary import Summary
from snoop_report.model import Outcome

if TYPE_CHECKING:
    from snoop_image.verdict import Judgement

_NAMED = 5
"""Pods and words that a sentence names."""


def text(value: object) -> str:
    """Make any text safe inside an element or a quoted attribute."""
    return escape(printable(str(value)))


def element(name: str, content: str, kind: str = "") -> str:
    """Write an element around what is HTML already."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<{name}{attribute}>{content}</{name}>"


def verdict(summary: Summary, judgement: "Judgement | None", counted: Sequence[Sum]) -> Iterator[str]:
    """Write the verdict at a glance."""
    if judgement is None:
        number = sum(one.files for one in counted[:4])
        state, title = (
            "good" if summary.complete else "bad",
            f"{number:,} {'path was' if number == 1 else 'paths were'} seen in use",
        )
        words = f"In {several(len(summary.pods), 'pod or command', 'pods or commands')} over {_period(summary)}."
        words += " What of the image was not seen in use is told once the image is given too: snoop analyze."
    elif judgement.grade.complete:
        unused, every = judgement.totals.counts.of("unused"), judgement.totals.counts.of()
        share = f" ({100 * unused.bytes // every.bytes} %)" if every.bytes else ""
        state, title = "good", f"{size(unused.bytes)} of {size(every.bytes)}{share} not seen in use"
        words = f"{unused.files:,} {'file' if unused.files == 1 else 'files'} not seen in use {judgement.grade.scope}. "
        words += f"Evidence: {judgement.grade.words}."
    else:
        state, title = "bad", "Incomplete evidence: nothing is called unused"
        words = f"Evidence: {judgement.grade.words}. The gaps below say what to do."
    yield f'<section class="verdict {state}" aria-labelledby="h-verdict">'
    yield f'<h2 id="h-verdict">{text(title)}</h2>{element("p", text(words))}'
    if judgement is None:
        told = "Complete: nothing is known to be missing." if summary.complete else "INCOMPLETE: see the gaps below."
        yield element("p", element("strong", text(told)))
    yield "</section>"


def legend(classes: Sequence[Kin], counted: Sequence[Sum], with_bytes: bool) -> Iterator[str]:
    """Write the classes with their figures, which the script also draws as a bar."""
    yield '<div id="bar" class="bar" aria-hidden="true"></div><ul class="legend">'
    for kin, one in zip(classes, counted, strict=True):
        if one.files:
            figures = f"{one.files:,} {'file' if one.files == 1 else 'files'}"
            figures = f"{size(one.bytes)}, {figures}" if with_bytes else f"{one.files:,}"
            swatch = f'<span class="swatch k-{kin.key}" aria-hidden="true">{kin.mark}</span>'
            yield f"<li>{swatch} {text(kin.words)} <b>{text(figures)}</b></li>"
    yield "</ul>"


def gaps(found: Sequence[Shortcoming], grown: Growth | None, judgement: "Judgement | None") -> Iterator[str]:
    """Write each gap with its words and what to do, and what to do next."""
    by_code: dict[str, list[Shortcoming]] = {}
    for one in [*found, *_further(found, judgement)]:
        by_code.setdefault(one.code, []).append(one)
    if not by_code and (judgement is None or judgement.grade.complete):
        yield element("p", "None: nothing is known to be missing from any report.")
    for code, some in by_code.items():
        since = min((one.since for one in some if one.since), default=0.0)
        where = _some(sorted({f"{one.pod} {one.container}".strip() for one in some}))
        yield f'<article class="gap">{element("h3", text(code.replace("_", " ")))}<dl>'
        told = dict.fromkeys(one.message for one in some if one.message)
        yield from _facts([("seen", _some(list(told))), ("where", where), ("since", moment(since) if since else "")])
        advice = ADVICE.get(code)
        if advice:
            yield from _facts([("means", advice.means), ("to do", advice.do)])
        yield "</dl></article>"
    if grown is not None and not grown.settled:
        yield element("p", "The number of known paths was still growing: record for longer.")
    elif judgement is not None and judgement.totals.unused:
        yield element("p", "Next: make the image without what was not seen in use (snoop slim), and test that one.")


def _further(found: Sequence[Shortcoming], judgement: "Judgement | None") -> Iterator[Shortcoming]:
    """Give gaps that only the verdict knows."""
    told = {(one.code, one.message) for one in found}
    for gap in judgement.grade.gaps if judgement is not None else ():
        if (gap.code.value, gap.message) not in told:
            yield Shortcoming(gap.code.value, gap.message, gap.since, gap.count, "", "")


def recorded(summary: Summary, judgement: "Judgement | None") -> Iterator[str]:
    """Write how it was recorded."""
    yield "<dl>"
    if judgement is not None:
        yield from _facts([("image", judgement.inventory.source), ("digest", judgement.inventory.digest)])
    left = "not known: a report does not say" if "/" in summary.exclude else ", ".join(map(shown, summary.exclude))
    yield from _facts(
        [
            ("pods or commands", f"{len(summary.pods)}: {_some(summary.pods)}"),
            ("nodes", _some(summary.nodes)),
            ("period", f"{moment(summary.start)} to {moment(summary.end)} ({_period(summary)})"),
            ("recorded by", _some(summary.recorders)),
            ("left out", left or "nothing"),
            ("kept", f"{several(summary.cap, 'path')} a container at most" if summary.cap else "every path"),
        ]
    )
    yield "</dl>"
    headings = ["container", "image", "complete", "pods", *(one.value for one in Outcome), "events", "lost"]
    rows = [
        [
            *(one.name, one.image or "-", "no" if one.gaps else "yes", len(one.pods)),
            *(one.paths(outcome) for outcome in Outcome),
            *(one.events, one.dropped),
        ]
        for one in summary.containers
    ]
    yield from table("Containers", headings, rows, words=3)


def layers(judgement: "Judgement") -> Iterator[str]:
    """Write the image's layers, lowest first."""
    rows = []
    for number, one in enumerate(judgement.totals.layers, 1):
        every, unused = one.counts.of(), one.counts.of("unused")
        made = one.layer.command or one.layer.digest or "-"
        rows.append([made, "yes" if one.shared else "no", number, every.files, size(every.bytes), size(unused.bytes)])
    yield from table("Layers", ["made by", "shared", "layer", "files", "size", "not seen in use"], rows, words=2)
    totals = judgement.totals
    if judgement.grade.complete and any(one.shared for one in totals.layers):
        flat = totals.net_flattened
        told = f"frees {size(flat)}" if flat >= 0 else f"needs {size(-flat)} more"
        yield element(
            "p", f"A node frees {size(totals.net)} if the shared layers stay the image's, {told} as one layer."
        )


def table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[object]], words: int) -> Iterator[str]:
    """Write a table whose first `words` columns are words and the others figures."""
    yield f'<div class="scroll" role="region" tabindex="0" aria-label="{text(caption)}"><table>'
    kinds = ["" if column < words else ' class="n"' for column in range(len(headings))]
    heads = zip(kinds, headings, strict=True)
    yield (
        "<thead><tr>"
        + "".join(f'<th scope="col"{kind}>{text(one)}</th>' for kind, one in heads)
        + "</tr></thead><tbody>"
    )
    for row in rows:
        cells = (f"{one:,}" if isinstance(one, int) else one for one in row)
        yield "<tr>" + "".join(f"<td{kind}>{text(one)}</td>" for kind, one in zip(kinds, cells, strict=True)) + "</tr>"
    yield "</tbody></table></div>"


def _facts(facts: Iterable[tuple[str, str]]) -> Iterator[str]:
    return (f"<dt>{text(label)}</dt><dd>{text(words)}</dd>" for label, words in facts if words)


def _some(names: Sequence[str]) -> str:
    further = len(names) - _NAMED
    return "; ".join(names[:_NAMED]) + (f"; and {further} more" if further > 0 else "")


def _period(summary: Summary) -> str:
    return duration(summary.end - summary.start) if summary.start else "a time that was not told"
