"""`snoop slim`: an image without what was not seen in use."""

from pathlib import Path
from typing import Any

import click

from snoop_cli import images, judged, options, output
from snoop_cli.options import examples
from snoop_cli.spelling import printable, shown, size
from snoop_image.reference import parse
from snoop_image.verdict import Judgement
from snoop_report.version import version

_LABEL = "dev.snoop.slim"
_NOTES = 10


@click.command(
    epilog=examples(
        "snoop slim web.json --archive web.tar --to web-slim.tar --tag web:1.4-slim",
        "snoop slim pods/*.json --image registry.example.com/web:1.4 --to web-slim.tar",
        "snoop slim trace.json --rootfs /srv/root --to /srv/slim",
    )
)
@click.option(
    "--to",
    "target",
    required=True,
    metavar="DIR|FILE.tar",
    type=click.Path(path_type=Path),
    help="Where it goes: a new or empty folder for the root file system, or a new .tar.",
)
@click.option("--tag", metavar="NAME", default="", help="What the image is called in the archive.")
@judged.options
@options.in_cluster()
@click.argument("evidence", nargs=-1, metavar="PROFILE|FILE...", type=options.EVIDENCE)
def slim(evidence: tuple[str, ...], target: Path, tag: str, **given: Any) -> None:
    """Copy an image, leaving out what was not seen in use.

    What is used, needed or protected stays as it was: mode, owner, times, extended attributes, hard links. An image
    becomes an archive of one layer that docker, podman, skopeo and ctr load, with its configuration, or a folder with
    its root file system; a root file system becomes a folder, or a tar of it.

    On evidence with gaps it refuses. Run your tests on what it makes: it knows what was seen, not what may come. Being
    root is needed where a folder is to have files of several owners.
    """
    if tag and (target.suffix != ".tar" or given["rootfs"]):
        raise click.UsageError("--tag names an image in an archive: it does not go with a root file system")
    from snoop_image.slim import check_target
    from snoop_image.slim import slim as write

    with images.failing():
        check_target(target)
        name = str(parse(tag)) if tag else ""
    found = judged.judge(evidence, given)
    judged.refuse_incomplete(found, "slimmed copy")
    judgement = found.judgement
    with images.failing(), images.progress("copying") as progress:
        done = write(
            judgement,
            found.source.opened(judgement.inventory),
            target,
            labels=_labels(judgement),
            name=name,
            progress=progress,
        )
    notes = [*judgement.notes, *done.notes]
    for words in notes[:_NOTES]:
        output.say(words)
    if len(notes) > _NOTES:
        output.say(f"and {len(notes) - _NOTES} more notes: `snoop analyze -o wide` has those on the verdict")
    before, after = done.before, done.after
    output.say(
        f"{shown(str(target))}: {size(after.bytes)} in {after.files} files, of {size(before.bytes)} in {before.files}; "
        f"the rest was not seen in use {judgement.grade.scope}"
    )


def _labels(judgement: Judgement) -> dict[str, str]:
    """Say in the image what made it, of what, and on what evidence."""
    inventory = judgement.inventory
    return {
        f"{_LABEL}.version": version(),
        f"{_LABEL}.from": inventory.digest or printable(inventory.source),
        f"{_LABEL}.evidence": judgement.grade.words,
    }
