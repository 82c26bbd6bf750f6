"""The matrix for people: one line a cell as it comes, a table on a terminal, and docs/kernels.md. Pure."""

from collections.abc import Iterable
from typing import Any

Cell = dict[str, Any]
"""As guest/cells.py prints it, with `asked` (the kernel's name here), `day` and `commit`."""

BEGIN, END = "<!-- matrix: make kernels writes it -->", "<!-- end of matrix -->"
WAYS = ("fexit", "raw_tp", "tracepoint")
RESOURCE = "BPF+PERFMON+SYS_RESOURCE"
COLUMNS = tuple((paranoid, rights) for paranoid in (2, 3) for rights in ("root", "BPF+PERFMON"))
NOT_MEASURED = "not measured"


def by_design(cell: Cell) -> bool:
    """Whether a cell is one that has to be refused."""
    if cell["asked"] == "5.4":
        return True  # no ring buffer (5.8)
    if cell["way"] == "tracepoint" and cell["paranoid"] == 3 and cell["rights"] != "root":
        return True  # at Debian's level a perf event, and a tracepoint program sits on one, takes CAP_SYS_ADMIN
    # Before 5.11, what maps take is locked memory, and raising its limit takes CAP_SYS_RESOURCE.
    return bool(cell["asked"] == "5.10" and cell["rights"] == "BPF+PERFMON")


def good(cell: Cell) -> bool:
    """Whether a cell is as it should be."""
    if cell["state"] == "refused":
        return by_design(cell)
    return bool(cell["state"] == "ok" and not cell["notes"])


def key(cell: Cell) -> tuple[str, str, str, str, str]:
    """What makes a cell that cell."""
    return cell["asked"], cell["cgroup"], cell["way"], str(cell["paranoid"]), cell["rights"]


def progress(cell: Cell) -> str:
    """One line, and below it what is wrong."""
    place = f"paranoid {cell['paranoid']} {cell['rights']:12} {cell['way']:11}"
    words = "; ".join(filter(None, (_verdict(cell), cell["words"])))
    lines = [f"  {'ok  ' if good(cell) else 'FAIL'} {place} {cell['seconds']:6.1f} s  {words}"]
    for name in ("missed", "invented", "notes"):
        lines += [f"         {name}: {line[:300]}" for line in cell[name][:20]]
    return "\n".join(lines)


def total(cells: list[Cell]) -> str:
    """The sum in a sentence."""
    bad = sum(not good(cell) for cell in cells)
    traced = [cell for cell in cells if cell["state"] in ("ok", "differs")]
    missed, invented = (sum(len(cell[name]) for cell in traced) for name in ("missed", "invented"))
    refused = sum(cell["state"] == "refused" and by_design(cell) for cell in cells)
    return (
        f"{len(cells)} cells measured: {len(traced)} traced ({missed} missed, {invented} invented), "
        f"{refused} refused by design, {bad} not as they should be"
    )


def _verdict(cell: Cell) -> str:
    if cell["state"] in ("ok", "differs"):
        return f"{len(cell['missed'])}/{len(cell['invented'])} of {cell['checked']} ({cell['workloads']})"
    return str(cell["state"] if good(cell) else cell["state"].upper())


def rows(cells: list[Cell], kernels: Iterable[str]) -> tuple[list[tuple[str, ...]], list[str]]:
    """The table's rows, and the notes that its numbers in brackets mean."""
    found = {key(cell): cell for cell in cells}
    notes: list[str] = []

    def shown(cell: Cell | None) -> str:
        if cell is None:
            return NOT_MEASURED
        words = [cell["words"], *cell["notes"]]
        text = _verdict(cell)
        for word in filter(None, words):
            if word not in notes:
                notes.append(word)
            text += f" [{notes.index(word) + 1}]"
        return text

    table = []
    for kernel in kernels:
        for cgroup in ("v2", "v1"):
            ways = [(way, "") for way in WAYS]
            if kernel == "5.10":
                ways += [(way, RESOURCE) for way in WAYS]
            for way, instead in ways:
                columns = [
                    ""
                    if instead and rights == "root"
                    else shown(found.get((kernel, cgroup, way, str(paranoid), (instead or rights))))
                    for paranoid, rights in COLUMNS
                ]
                # What stands for a boot that gave nothing, or a kernel of which a part is shown, needs no empty row.
                if kernel != "5.4" or any(one not in ("", NOT_MEASURED) for one in columns):
                    name = f"{way} (and SYS_RESOURCE)" if instead else way
                    table.append((kernel, cgroup, name, *columns))
    notes += [f"{cell['asked']} on {cell['cgroup']}: {cell['words']}" for cell in cells if cell["way"] == "-"]
    return table, notes


HEAD = ("kernel", "cgroup", "attached by", *(f"paranoid {paranoid}, {rights}" for paranoid, rights in COLUMNS))


def terminal(cells: list[Cell], kernels: Iterable[str]) -> str:
    """The table in columns."""
    table, notes = rows(cells, kernels)
    lines = [HEAD, *table]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    text = ["  ".join(one.ljust(width) for one, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    text += [f"[{number}] {note}" for number, note in enumerate(notes, 1)]
    return "\n".join([*text, total(cells)])


def markdown(text: str, cells: list[Cell], kernels: Iterable[str]) -> str:
    """Put the matrix between the marks of docs/kernels.md; what stands around it is written by hand."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    table, notes = rows(cells, kernels)
    commits = ", ".join(dict.fromkeys(f"{cell['commit']} ({cell['day']})" for cell in cells))
    releases = ", ".join(dict.fromkeys(cell["kernel"] for cell in cells if cell["kernel"] != "-"))
    lines = [
        BEGIN,
        "",
        f"{total(cells)}.",
        "",
        "| " + " | ".join(HEAD) + " |",
        "| --- " * len(HEAD) + "|",
        *("| " + " | ".join(row) + " |" for row in table),
        "",
        *(f"{number}. {note}" for number, note in enumerate(notes, 1)),
        *([""] if notes else []),
        f"Releases: {releases}. Commits: {commits}.",
        "",
        END,
    ]
    return before + "\n".join(lines) + after
