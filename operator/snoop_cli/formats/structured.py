"""JSON and YAML. Paths in it are spelled as in reports (`snoop_report.paths.escape`), times as RFC 3339."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from snoop_cli import output
from snoop_cli.exits import Failure


def write(form: str, document: Mapping[str, Any]) -> None:
    """Print `document` as `json` or `yaml`."""
    if form == "json":
        output.write(_json(document))
    else:
        output.write(_yaml(document))


def _json(document: Mapping[str, Any]) -> Iterator[str]:
    """Write one entry of a top-level list a line: readable, and as fast as without line breaks."""
    yield "{"
    for number, (key, value) in enumerate(document.items()):
        yield f"{',' if number else ''}\n  {json.dumps(key)}: "
        if isinstance(value, list) and value:
            yield from listed("    ", value, _compact)
            yield "\n  ]"
        else:
            yield _compact(value)
    yield "\n}\n"


def listed(indent: str, values: Iterable[Any], shape: Callable[[Any], str]) -> Iterator[str]:
    """Write `[` and the entries of a JSON list, a line each; the closing bracket is the caller's."""
    yield "["
    for number, value in enumerate(values):
        yield f"{',' if number else ''}\n{indent}{shape(value)}"


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _yaml(document: Mapping[str, Any]) -> Iterator[str]:
    try:
        import yaml  # only who asks for YAML waits for it
    except ImportError as error:
        raise Failure("-o yaml needs PyYAML: pip install 'snoop-profiler[cli]', or use -o json") from error
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    yield yaml.dump(dict(document), Dumper=dumper, sort_keys=False, allow_unicode=True, width=120)
