"""The HTML report: one file, no network, for whoever decides what to do about an image.

What must be read is HTML; figures are embedded as JSON, and a script draws them. The policy in the page allows that
script and that style by their hashes, and nothing else (CSP level 3, https://www.w3.org/TR/CSP3/): names that a
container chose can run nothing even if they got past the escaping.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from importlib import resources
from typing import TYPE_CHECKING, Any

from snoop_cli.evidence import Evidence
from snoop_cli.formats.document import figures, page
from snoop_cli.summary import summarise

if TYPE_CHECKING:
    from snoop_image.verdict import Judgement

_NAMED = 3
"""Pods that the title names."""
_JSON = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})
"""What could end a script element, or is a line break to an older script (HTML, 4.12.1.3)."""


def document(evidence: Evidence, judgement: "Judgement | None" = None) -> Iterator[str]:
    """Write the report of evidence, and of an image judged by it, in pieces.

    Without an image it counts the paths that were used; with one, bytes by verdict.
    """
    summary = summarise(evidence)
    found = figures.seen(evidence)
    times = figures.first_seen(found) if judgement is None else figures.first_seen_of(judgement)
    grown = figures.growth(times, summary.start, summary.end)
    classes: tuple[figures.Kin, ...]
    if judgement is None:
        classes, rows = figures.WAYS, list(figures.used_files(found))
    else:
        classes, rows = figures.VERDICTS, list(figures.judged_files(judgement))
    counted = figures.sums(rows, classes)
    style, script = _part("document.css"), _part("document.js")
    title = judgement.inventory.source if judgement is not None else ", ".join(summary.pods[:_NAMED])
    if judgement is None and len(summary.pods) > _NAMED:
        title += f" and {len(summary.pods) - _NAMED} more"
    yield from _head(page.text(title), style, script)
    yield f"<header><p>snoop report</p><h1>{page.text(title)}</h1></header><main>"
    yield from page.verdict(summary, judgement, counted)
    yield from page.legend(classes, counted, judgement is not None)
    yield _section("gaps", "Gaps and what to do", page.gaps(summary.shortcomings, grown, judgement))
    if judgement is not None and judgement.notes:
        notes = "".join(page.element("li", page.text(one)) for one in judgement.notes)
        yield _section("notes", "What could not be read", [page.element("ul", notes)])
    yield _section("map", "Where it lies", [_NEEDS_SCRIPT])
    if judgement is not None and judgement.packages:
        yield _section("packages", "Packages", [_NEEDS_SCRIPT])
    if grown is not None:
        yield _section("growth", "Known files over time", [page.element("p", page.text(grown.words))])
    yield _section("recorded", "How it was recorded", page.recorded(summary, judgement))
    if judgement is not None and len(judgement.totals.layers) > 1:
        yield _section("layers", "Layers", page.layers(judgement))
    yield _section("files", "Files", [_NEEDS_SCRIPT])
    yield '</main>\n<script type="application/json" id="data">'
    head = {
        "bytes": judgement is not None,
        "classes": [kin._asdict() for kin in classes],
        "sums": [[one.files, one.bytes] for one in counted],
        "growth": grown and {"start": grown.start, "end": grown.end, "points": grown.points},
        "packages": figures.packages(judgement) if judgement is not None else [],
    }
    yield f'{_json(head)[:-1]},\n"files":['
    for number, one in enumerate(figures.folded(rows)):
        yield f"{',' if number else ''}\n{_json(one)}"
    yield f"]}}</script>\n<script>{script}</script>\n</body>\n</html>\n"


_NEEDS_SCRIPT = "<noscript><p>This part is drawn by the page's script, which is switched off.</p></noscript>"


def _head(title: str, style: str, script: str) -> Iterator[str]:
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
    yield f'<link rel="icon" href="data:,">\n<title>{title} - snoop report</title>\n'
    yield f"<style>{style}</style>\n</head>\n<body>\n"


def _section(key: str, title: str, content: Iterable[str]) -> str:
    heading = f'<h2 id="h-{key}">{title}</h2>'
    return f'<section id="{key}" aria-labelledby="h-{key}">{heading}{"".join(content)}</section>\n'


def _part(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text("utf-8")


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_JSON)
