"""Where the dynamic loader finds a library: the rules of glibc's ld.so and of musl's, over the names of an image.

Sources: ld.so(8), glibc's elf/dl-load.c and elf/dl-cache.c, musl's ldso/dynlink.c. Where they depend on what an image
does not tell (processor, $PLATFORM, $LIB), all that may be is given: too much rather than too little.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from snoop_image.ldcache import read_cache, read_configuration
from snoop_image.links import resolve
from snoop_image.model import Elf, FileType, ImageError, Inventory
from snoop_image.names import Names

_TOKEN = re.compile(r"\$(?:(ORIGIN|LIB|PLATFORM)(?![A-Za-z0-9_])|\{(ORIGIN|LIB|PLATFORM)\})")
_SPELLINGS = 64
# Of one file's search path; libtool's longest ones have some tens.
_DIRECTORIES = 128
# glibc's defaults by e_machine (elf.h): its own directory names, and Debian's, which are those of its multiarch.
_MULTIARCH = {
    (3, 32): "i386-linux-gnu",
    (62, 64): "x86_64-linux-gnu",
    (62, 32): "x86_64-linux-gnux32",
    (183, 64): "aarch64-linux-gnu",
    (22, 64): "s390x-linux-gnu",
    (243, 64): "riscv64-linux-gnu",
    (258, 64): "loongarch64-linux-gnu",
}
_SEVERAL = {
    (40, 32): ("arm-linux-gnueabihf", "arm-linux-gnueabi"),
    (21, 64): ("powerpc64le-linux-gnu", "powerpc64-linux-gnu"),
    (8, 32): ("mipsel-linux-gnu", "mips-linux-gnu"),
    (8, 64): ("mips64el-linux-gnuabi64", "mips64-linux-gnuabi64"),
}
_PLATFORMS = {
    3: ("i386", "i486", "i586", "i686"),
    62: ("x86_64", "haswell", "xeon_phi"),
    183: ("aarch64",),
    40: ("v6l", "v7l", "v8l"),
    22: ("z900", "z990", "z9-109", "z10", "z196", "zEC12", "z13", "z14", "z15", "z16"),
    21: ("power7", "power8", "power9", "power10"),
}
# Subdirectories that glibc before 2.37 tried for the processor's sake (dl-hwcaps.c, dl-procinfo.c), as built by
# distributions; newer ones try those below glibc-hwcaps.
_LEGACY = frozenset(
    {name for names in _PLATFORMS.values() for name in names}
    | {"tls", "avx512_1", "sse2", "cmov", "neon", "vfp", "atomics", "ppc970"}
    | {"altivec", "dfp", "vsx", "arch_2_06", "arch_2_07"}
)
_LEGACY_DEPTH = 3
# musl's own names for parts of libc (dynlink.c, load_library): they are the loader itself.
_MUSL_OWN = re.compile(r"lib(?:c|pthread|rt|m|dl|util|xnet)\.")
_MUSL_PATH = "/lib:/usr/local/lib:/usr/lib"


@dataclass(frozen=True, slots=True)
class Found:
    """Files for one wanted name, by the names that the loader would open."""

    paths: tuple[str, ...]
    guessed: bool = False
    """By their names alone: no rule leads to them."""


class Loader:
    """Finds the libraries of an image's programs."""

    def __init__(self, inventory: Inventory, names: Names) -> None:
        self._inventory = inventory
        self._names = names
        self.notes: list[str] = []
        environment = dict(pair.partition("=")[::2] for pair in inventory.config.environment)
        # Separators as in ld.so(8), what an unset one means as in dl-load.c.
        self._library_path = [one for one in re.split("[:;]", environment.get("LD_LIBRARY_PATH", "")) if one]
        self.preloaded = re.split("[: \t\n]+", environment.get("LD_PRELOAD", "").strip())
        self.preloaded += self.read_text("/etc/ld.so.preload").replace(":", " ").split()
        self.preloaded = list(filter(None, dict.fromkeys(self.preloaded)))
        self._cache = self._read_cache()
        self._configured = read_configuration("/etc/ld.so.conf", self.read, self._matching)
        self._variants: dict[str, list[str]] = {}
        self._by_name: dict[str, list[str]] | None = None
        interpreters = {elf.interpreter for elf in inventory.elf.values()} - {""}
        self.musl = any("/ld-musl-" in one for one in interpreters)
        self.glibc = any("/ld-musl-" not in one for one in interpreters) or not self.musl
        self._musl_loaders = sorted(one for one in interpreters if "/ld-musl-" in one)
        self._own = sorted(
            {led.path[: led.path.rfind("/")] for one in interpreters if (led := resolve(inventory.entries, one)).found}
        )

    def read(self, path: str) -> bytes | None:
        """Give the content of a file that the closure wants, under whatever name."""
        known = self._inventory.contents.get(path)
        return self._inventory.contents.get(resolve(self._inventory.entries, path).path) if known is None else known

    def read_text(self, path: str) -> str:
        """Give that content as text; empty if there is none."""
        return (self.read(path) or b"").decode("utf-8", "surrogateescape")

    def find(self, name: str, wanting: Elf, origins: tuple[str, ...], inherited: tuple[str, ...], musl: bool) -> Found:
        """Find a library for a file that wants it.

        `origins` are the directories of that file; `inherited` the search paths, written out, of what loaded it.
        """
        if "/" in name:
            return self._first(self._spelled(name, wanting, origins), "", wanting)
        found = self._first(self._directories(wanting, origins, inherited, musl), name, wanting)
        if found.paths or (musl and self.is_musl(name)):
            return found
        return Found(tuple(self._named(name, wanting)), guessed=True)

    @staticmethod
    def is_musl(name: str) -> bool:
        """Say whether musl's loader is that library itself."""
        return _MUSL_OWN.match(name) is not None

    def search_path(self, elf: Elf, origins: tuple[str, ...], musl: bool) -> tuple[str, ...]:
        """Write out what a file bequeaths to the libraries it loads: glibc its RPATH, musl either."""
        own = (*elf.rpath, *elf.runpath) if musl else elf.rpath
        written = dict.fromkeys(one for path in own[:_DIRECTORIES] for one in self._spelled(path, elf, origins))
        return tuple(written)[:_DIRECTORIES]

    def _directories(
        self, elf: Elf, origins: tuple[str, ...], inherited: tuple[str, ...], musl: bool
    ) -> Iterator[str | None]:
        """Give the directories in order; None stands for the cache."""
        if musl:
            yield from self._library_path
            yield from self.search_path(elf, origins, musl)
            yield from inherited
            yield from self._musl_path()
            return
        if not elf.runpath:
            yield from self.search_path(elf, origins, musl)
            yield from inherited
        for path in (*self._library_path, *elf.runpath[:_DIRECTORIES]):
            yield from self._spelled(path, elf, origins)
        yield None
        yield from self._defaults(elf)
        # No loader reads these, but ldconfig does, and may have yet to run.
        yield from self._configured

    def _defaults(self, elf: Elf) -> Iterator[str]:
        key = (elf.machine, elf.bits)
        multiarch = (_MULTIARCH[key],) if key in _MULTIARCH else _SEVERAL.get(key, ())
        names = [f"lib/{one}" for one in multiarch] + ["lib64" if elf.bits == 64 else "lib32", "libx32", "lib"]
        for name in names:
            yield f"/{name}"
            yield f"/usr/{name}"
        yield from self._own

    def _musl_path(self) -> Iterator[str]:
        """Give musl's system directories: /etc/ld-musl-ARCH.path beside the loader's /lib, or the built-in ones."""
        for loader in self._musl_loaders or ["/lib/ld-musl-x86_64.so.1"]:
            prefix, _, name = loader.rpartition("/lib/")
            stem = name.split(".so", 1)[0]
            text = self.read(f"{prefix}/etc/{stem}.path")
            listed = _MUSL_PATH if text is None else text.decode("utf-8", "surrogateescape")
            yield from (one for one in re.split("[:\n]", listed) if one.startswith("/"))

    def _first(self, places: Iterable[str | None], name: str, wanting: Elf) -> Found:
        """Take the first place that has the library, with the variants for processors that come before it."""
        taken: dict[str, None] = {}
        for place in places:
            plain = False
            if place is None:
                candidates = list(self._cache.get(name, ()))
            elif not place.startswith("/"):
                continue
            elif name:
                candidates = [f"{one}/{name}" for one in (*self._subdirectories(place), place.rstrip("/"))]
            else:
                candidates = [place]
            for path in candidates:
                fits = self._fits(path, wanting)
                if fits is not False:
                    taken[path] = None
                    plain = plain or bool(fits and (path == candidates[-1] or place is None))
            if plain:
                break
        return Found(tuple(taken))

    def _fits(self, path: str, wanting: Elf) -> bool | None:
        """Say whether a library can be loaded; None: it is there, and what it is is not known."""
        led = resolve(self._inventory.entries, path)
        if led.entry is None or led.entry.type is not FileType.FILE:
            return False
        elf = self._inventory.elf.get(led.path)
        if elf is None:
            return None if led.entry.size else False
        return elf.machine == wanting.machine and elf.bits == wanting.bits

    def _subdirectories(self, directory: str) -> list[str]:
        known = self._variants.get(directory)
        if known is None:
            led = resolve(self._inventory.entries, directory)
            known = []
            if led.found:
                known = list(self._names.children(f"{led.path.rstrip('/')}/glibc-hwcaps"))
                known += self._legacy(led.path, _LEGACY_DEPTH)
            self._variants[directory] = known
        return known

    def _legacy(self, directory: str, depth: int) -> Iterator[str]:
        for name in sorted(_LEGACY) if depth else ():
            path = f"{directory.rstrip('/')}/{name}"
            entry = self._inventory.entries.get(path)
            if entry is not None and entry.type is FileType.DIRECTORY:
                yield from self._legacy(path, depth - 1)
                yield path

    def _spelled(self, path: str, elf: Elf, origins: tuple[str, ...]) -> list[str]:
        """Write out $ORIGIN, $LIB and $PLATFORM in all ways; a relative path starts at the working directory."""
        multiarch = _MULTIARCH.get((elf.machine, elf.bits))
        values = {
            "ORIGIN": origins,
            "LIB": ("lib", "lib64", "lib32", *((f"lib/{multiarch}",) if multiarch else ())),
            "PLATFORM": _PLATFORMS.get(elf.machine, ()),
        }
        written = [""]
        at = 0
        for match in _TOKEN.finditer(path):
            before = path[at : match.start()]
            choices = values[match.group(1) or match.group(2)]
            written = [one + before + value for one in written for value in choices][:_SPELLINGS]
            at = match.end()
        base = self._inventory.config.working_directory or "/"
        whole = (one + path[at:] for one in written)
        return [one if one.startswith("/") else f"{base.rstrip('/')}/{one}" for one in whole if one or path == ""]

    def _named(self, name: str, wanting: Elf) -> Iterator[str]:
        if self._by_name is None:
            self._by_name = {}
            for path, elf in self._inventory.elf.items():
                for known in {path[path.rfind("/") + 1 :], elf.soname} - {""}:
                    self._by_name.setdefault(known, []).append(path)
        return (path for path in self._by_name.get(name, ()) if self._fits(path, wanting))

    def _read_cache(self) -> dict[str, tuple[str, ...]]:
        data = self.read("/etc/ld.so.cache")
        if not data:
            return {}
        try:
            return read_cache(data)
        except ImageError as error:
            self.notes.append(str(error))
            return {}

    def _matching(self, pattern: str) -> Iterator[str]:
        try:
            return iter(list(self._names.matching(pattern)))
        except ImageError:
            return iter(())
