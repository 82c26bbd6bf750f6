"""Makes inventories by hand: paths with a word for what they are, parents made on the way."""

from snoop_image.model import Elf, Entry, FileType, ImageConfig, Inventory, Package, PackageKind

LOADER = "/lib64/ld-linux-x86-64.so.2"
MUSL = "/lib/ld-musl-x86_64.so.1"


def image(
    *files: str,
    links: dict[str, str] | None = None,
    elf: dict[str, Elf] | None = None,
    scripts: dict[str, str] | None = None,
    contents: dict[str, bytes] | None = None,
    directories: tuple[str, ...] = (),
    config: ImageConfig = ImageConfig(),  # noqa: B008 # frozen
    packages: list[Package] | None = None,
) -> Inventory:
    """Whatever is named anywhere is there. Each file has 100 bytes and may be executed."""
    entries = [Entry(path, FileType.SYMLINK, 0o777, target=target) for path, target in (links or {}).items()]
    names = dict.fromkeys([*files, *(elf or {}), *(scripts or {}), *(contents or {})])
    entries += [Entry(path, FileType.FILE, 0o755, size=100) for path in names]
    entries += [Entry(path, FileType.DIRECTORY, 0o755) for path in directories]
    return inventory(entries, elf or {}, scripts or {}, contents or {}, config, packages or [])


def inventory(
    entries: list[Entry],
    elf: dict[str, Elf] | None = None,
    scripts: dict[str, str] | None = None,
    contents: dict[str, bytes] | None = None,
    config: ImageConfig = ImageConfig(),  # noqa: B008 # frozen
    packages: list[Package] | None = None,
) -> Inventory:
    found = {"/": Entry("/", FileType.DIRECTORY, 0o755)}
    for entry in entries:
        at = entry.path.find("/", 1)
        while at > 0:
            found.setdefault(entry.path[:at], Entry(entry.path[:at], FileType.DIRECTORY, 0o755))
            at = entry.path.find("/", at + 1)
        found[entry.path] = entry
    return Inventory(
        "test",
        config=config,
        entries=dict(sorted(found.items())),
        elf=elf or {},
        scripts=scripts or {},
        contents=contents or {},
        packages=packages or [],
    )


def program(*needed: str, interpreter: str = LOADER, machine: int = 62, bits: int = 64, **more: tuple[str, ...]) -> Elf:
    return Elf(bits, machine, interpreter, needed=needed, **more)  # type: ignore[arg-type]


def library(*needed: str, soname: str = "", machine: int = 62, bits: int = 64, **more: tuple[str, ...]) -> Elf:
    return Elf(bits, machine, "", soname, needed, **more)


def deb(name: str, *files: str, **more: object) -> Package:
    return Package(PackageKind.DEB, name, "1", files=files, database="/var/lib/dpkg/status", **more)  # type: ignore[arg-type]
