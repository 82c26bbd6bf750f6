"""Prints an image's layers with their sizes and the step that made each. Usage: image_sizes.py ENGINE IMAGE."""

import json
import subprocess
import sys
from typing import Any


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def layers(engine: str, image: str) -> list[tuple[int, str]]:
    """(uncompressed bytes, the step that made it) of each layer, lowest first."""
    if engine == "docker":
        # Docker prints sizes for people ("44.2MB"); its history holds empty steps too.
        rows = [
            json.loads(line)
            for line in _run("docker", "history", "--no-trunc", "--format", "{{json .}}", image).splitlines()
        ]
        sized = [(_bytes(row["Size"]), row["CreatedBy"]) for row in reversed(rows)]
        return [(size, step) for size, step in sized if size]
    inspected: dict[str, Any] = json.loads(_run("buildah", "inspect", "--type", "image", image))
    sizes = [layer["size"] for layer in json.loads(inspected["Manifest"])["layers"]]
    steps = [step.get("created_by", "") for step in inspected["OCIv1"]["history"] if not step.get("empty_layer")]
    return list(zip(sizes, steps, strict=True))


def _bytes(text: str) -> int:
    for suffix, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1)):
        if text.endswith(suffix):
            return int(float(text.removesuffix(suffix)) * factor)
    return int(text)


def _short(step: str) -> str:
    words = [word for word in step.removeprefix("/bin/sh -c").split() if not word.startswith("--mount=")]
    return " ".join(words)[:100] or "(base)"


def main() -> None:
    """Print one image."""
    engine, image = sys.argv[1:]
    found = layers(engine, image)
    for size, step in found:
        print(f"  {size / 1e6:8.1f} MB  {_short(step)}")
    print(f"  {sum(size for size, _ in found) / 1e6:8.1f} MB  {image}")


if __name__ == "__main__":
    main()
