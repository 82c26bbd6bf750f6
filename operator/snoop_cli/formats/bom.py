"""A bill of materials that marks what was seen in use: CycloneDX 1.6 JSON (ECMA-424).

It has properties of Snoop's own, and says nothing of vulnerabilities: that a package was not seen in use is no proof
that its flaws do not matter.
"""

import uuid
from typing import Any

from snoop_image.model import Package
from snoop_image.packages import Dependencies, distribution, purl
from snoop_image.packageuse import PackageVerdict
from snoop_image.verdict import Judgement
from snoop_report.version import version

# Names as the specification's property taxonomy has them: a namespace, a colon, a name.
_USE = "snoop:use"
_NAMESPACE = uuid.UUID("5f0d6c7e-0a0b-5c44-9f58-6f2b52d1c7a1")


def cyclonedx(judgement: Judgement) -> dict[str, Any]:
    """Shape the image's packages as a CycloneDX document; the same verdict gives the same document."""
    inventory = judgement.inventory
    release = distribution(inventory.contents)
    references = _references(judgement, release)
    graph = Dependencies(inventory.packages)
    components = [
        _component(one, reference, release) for one, reference in zip(judgement.packages, references, strict=True)
    ]
    known = _plain(f"{inventory.source} {inventory.digest} {judgement.grade.words} {components}")
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, known)}",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "snoop", "version": version()}]},
            "component": {
                "type": "container",
                "bom-ref": "image",
                "name": _plain(inventory.source),
                **({"version": inventory.digest} if inventory.digest else {}),
            },
            "properties": [
                _property("snoop:evidence", judgement.grade.words),
                _property("snoop:evidence:complete", str(judgement.grade.complete).lower()),
                _property("snoop:evidence:scope", judgement.grade.scope),
            ],
        },
        "components": components,
        "dependencies": [
            {"ref": reference, "dependsOn": sorted(references[one] for one in graph.requirements(number))}
            for number, reference in enumerate(references)
        ],
    }


def _references(judgement: Judgement, release: tuple[str, str]) -> list[str]:
    """Give each package a reference of its own: its URL, and a number where two have the same."""
    seen: dict[str, int] = {}
    found = []
    for package in judgement.inventory.packages:
        name = _url(package, release) or _plain(f"{package.kind.value}/{package.name}@{package.version}")
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return found


def _url(package: Package, release: tuple[str, str]) -> str:
    """Give a package's URL; empty for a name that cannot have one, such as bytes that are not UTF-8."""
    try:
        return purl(package, release)
    except ValueError:
        return ""


def _component(judged: PackageVerdict, reference: str, release: tuple[str, str]) -> dict[str, Any]:
    package = judged.package
    return {
        "type": "library",
        "bom-ref": reference,
        "name": _plain(package.name),
        "version": _plain(package.version),
        **({"purl": url} if (url := _url(package, release)) else {}),
        "properties": [
            _property(_USE, judged.use.value),
            _property(f"{_USE}:why", judged.words),
            _property("snoop:files", str(judged.files)),
            _property("snoop:files:unused", str(judged.unused_files)),
            _property("snoop:bytes", str(judged.bytes)),
            _property("snoop:bytes:unused", str(judged.unused_bytes)),
        ],
    }


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": name, "value": _plain(value)}


def _plain(text: str) -> str:
    """Make text that may have bytes that are not UTF-8 fit for JSON."""
    return text.encode("utf-8", "backslashreplace").decode()
