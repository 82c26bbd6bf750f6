"""What used files need though nobody opened it: interpreters, libraries, links, and families of which one is loaded."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from snoop_image import services
from snoop_image.families import Families
from snoop_image.families_applications import APPLICATIONS
from snoop_image.families_system import SYSTEM
from snoop_image.links import Resolved, resolve
from snoop_image.loader import Loader
from snoop_image.model import Elf, FileType, Inventory
from snoop_image.names import Names
from snoop_image.reasons import Reason, ReasonCode
from snoop_image.scripts import interpreter, program

_CONTEXTS = 8
_REASONS = 16
_NOTES = 100
_BYTECODE = re.compile(r"(.*)/__pycache__/([^/]+?)\.[\w-]+(?:\.opt-[0-9a-z]+)?\.pyc", re.DOTALL)
_FAMILIES = Families(SYSTEM + APPLICATIONS)

# How a file comes to be loaded: directories that are its $ORIGIN, inherited search path, by musl's loader or glibc's.
_Context = tuple[tuple[str, ...], tuple[str, ...], bool]


def wanted(path: str) -> bool:
    """Say whether a file's content is to be kept while an image is read."""
    if not path.startswith(("/etc/", "/usr/")) and "/etc/ld-musl-" not in path:
        return False
    return (
        path.startswith(("/etc/ld.so.", "/etc/ld-musl-"))
        or path in ("/etc/passwd", "/etc/timezone")
        or ("/etc/ld-musl-" in path and path.endswith(".path"))
        or services.wanted(path)
    )


def closure(inventory: Inventory, used: Iterable[str]) -> dict[str, tuple[Reason, ...]]:
    """Give what the used files need, each with its reasons. `used` and the result are entries' own paths.

    A used file that another one needs is among them. Of many reasons for one file the first 16 are kept.
    """
    walk = Closure(inventory, Names(inventory.entries))
    walk.add(used)
    return {path: tuple(reasons) for path, reasons in walk.needed.items()}


class Closure:
    """Follows what files need, until nothing new comes. More files can be added afterwards."""

    def __init__(self, inventory: Inventory, names: Names, lifted: Callable[[str], bool] = lambda _: False) -> None:
        """Leave out of families what is `lifted`."""
        self._lifted = lifted
        self._inventory = inventory
        self._names = names
        self._loader = Loader(inventory, names)
        self.needed: dict[str, list[Reason]] = {}
        self._pending: deque[tuple[str, _Context | None]] = deque()
        self._contexts: dict[str, set[_Context]] = {}
        self._seen: set[str] = set()
        self._brought: set[tuple[str, str]] = set()
        self._missing: dict[tuple[str, str], None] = {}
        self._environment = dict(pair.partition("=")[::2] for pair in inventory.config.environment)

    @property
    def notes(self) -> list[str]:
        """Give what could not be found or read, a sentence each."""
        told = [
            f"{path} needs the library {name}, and the image has none such"
            for path, name in list(self._missing)[:_NOTES]
        ]
        if len(self._missing) > _NOTES:
            told.append(f"{len(self._missing) - _NOTES} more libraries that are needed are not in the image")
        return [*self._loader.notes, *told]

    def add(self, paths: Iterable[str]) -> None:
        """Follow what these need."""
        self._pending.extend((path, None) for path in paths)
        while self._pending:
            self._follow(*self._pending.popleft())

    def keep(self, name: str, reason: Reason) -> None:
        """Take a name as needed, with what it leads to, and do not ask what that needs: it is data."""
        self._seen.add(self.need(name, reason).path)
        self._pending.clear()

    def need(self, name: str, reason: Reason, context: _Context | None = None) -> Resolved:
        """Take a name as needed: what it leads to, and every link and directory on the way."""
        led = resolve(self._inventory.entries, name)
        for link in led.links:
            self._take(link, Reason(ReasonCode.LINK, f"a link on the way to {led.path}", reason.because))
        if led.entry is not None:
            for directory in led.directories:
                # Those above what it leads to, and above each link, stay with these.
                if not led.path.startswith(f"{directory.rstrip('/')}/"):
                    self._take(
                        directory, Reason(ReasonCode.DIRECTORY, f"a directory on the way to {led.path}", led.path)
                    )
            self._take(led.path, reason, context)
        return led

    def _take(self, path: str, reason: Reason, context: _Context | None = None) -> None:
        reasons = self.needed.setdefault(path, [])
        if len(reasons) < _REASONS and reason not in reasons:
            reasons.append(reason)
        if context is not None or path not in self._seen:
            self._pending.append((path, context))

    def _follow(self, path: str, context: _Context | None) -> None:
        elf = self._inventory.elf.get(path)
        if elf is not None:
            self._follow_elf(path, elf, context)
        if path in self._seen:
            return
        self._seen.add(path)
        entry = self._inventory.entries.get(path)
        if entry is None:
            return
        if entry.type is FileType.SYMLINK:
            self.need(path, Reason(ReasonCode.LINK_TARGET, f"what the link {path} leads to", path))
        elif entry.type is FileType.FILE:
            if path in self._inventory.scripts:
                self._follow_script(path, self._inventory.scripts[path])
            if elf is not None:
                self._soname(path, elf)
            self._python(path)
        self._plugins(path)

    def _follow_elf(self, path: str, elf: Elf, context: _Context | None) -> None:
        for here in self._starting(path, elf) if context is None else (context,):
            known = self._contexts.setdefault(path, set())
            if here in known or len(known) >= _CONTEXTS:
                continue
            known.add(here)
            if elf.interpreter:
                self.need(elf.interpreter, Reason(ReasonCode.ELF_INTERPRETER, f"the dynamic loader of {path}", path))
                for name in self._loader.preloaded:
                    self._library(name, path, elf, here, ReasonCode.PRELOADED)
            for name in elf.needed:
                self._library(name, path, elf, here, ReasonCode.LIBRARY)
            for name in elf.dlopen:
                self._library(name, path, elf, here, ReasonCode.DLOPEN)

    def _soname(self, path: str, elf: Elf) -> None:
        if elf.soname and not path.endswith(f"/{elf.soname}") and "/" not in elf.soname:
            link = f"{path[: path.rfind('/')]}/{elf.soname}"
            if resolve(self._inventory.entries, link).path == path:
                self.need(link, Reason(ReasonCode.SONAME_LINK, f"the name by which programs want {path}", path))

    def _starting(self, path: str, elf: Elf) -> Iterator[_Context]:
        """Give how a file is loaded of which nobody told who loads it: a program, or a library of any."""
        origin = (path[: path.rfind("/")] or "/",)
        if elf.interpreter:
            yield (origin, (), "/ld-musl-" in elf.interpreter)
            return
        if self._loader.glibc:
            yield (origin, (), False)
        if self._loader.musl:
            yield (origin, (), True)

    def _library(self, name: str, path: str, elf: Elf, context: _Context, code: ReasonCode) -> None:
        origins, inherited, musl = context
        found = self._loader.find(name, elf, origins, inherited, musl)
        bequeathed = tuple(dict.fromkeys((*self._loader.search_path(elf, origins, musl), *inherited)))
        for one in found.paths:
            if found.guessed:
                reason = Reason(
                    ReasonCode.LIBRARY_BY_NAME,
                    f"named as a library of {path} that the loader's rules do not find",
                    path,
                )
            else:
                reason = Reason(code, f"the library {name} of {path}", path)
            led = resolve(self._inventory.entries, one)
            places = dict.fromkeys((one[: one.rfind("/")] or "/", led.path[: led.path.rfind("/")] or "/"))
            self.need(one, reason, (tuple(places), bequeathed, musl))
        if not found.paths and code is ReasonCode.LIBRARY and not (musl and self._loader.is_musl(name)):
            self._missing[path, name] = None

    def _follow_script(self, path: str, line: str) -> None:
        for name in interpreter(line):
            reason = Reason(ReasonCode.SCRIPT_INTERPRETER, f"the interpreter of the script {path}", path)
            found = program(name, self._environment, self._inventory.config.working_directory, self._inventory.entries)
            if found:
                self.need(found, reason)

    def _python(self, path: str) -> None:
        """Keep source and byte code together (PEP 3147): a stale or missing one is made or read again, if it can be."""
        if path.endswith(".pyc"):
            match = _BYTECODE.fullmatch(path)
            source = f"{match.group(1)}/{match.group(2)}.py" if match else path[:-1]
            if source in self._inventory.entries:
                self.need(source, Reason(ReasonCode.SOURCE, f"the source of {path}", path))
        elif path.endswith(".py"):
            directory, _, name = path.rpartition("/")
            for code in self._names.beginning(f"{directory}/__pycache__/{name[:-2]}"):
                if (match := _BYTECODE.fullmatch(code)) and match.group(2) == name[:-3]:
                    self.need(code, Reason(ReasonCode.BYTECODE, f"the byte code of {path}", path))

    def _plugins(self, path: str) -> None:
        name = path[path.rfind("/") :]
        if services.LIBC.fullmatch(name):
            words = "is loaded by libc as nsswitch.conf says"
            self._bring("name-service", path, services.name_services(self._loader, self._names), words)
        elif services.PAM.fullmatch(name):
            words = "is loaded or read by PAM as its configuration says"
            self._bring("pam", path, services.pam_modules(self._loader, self._names), words)
        for family, patterns in _FAMILIES.of(path):
            for pattern in patterns:
                if (family.name, pattern) not in self._brought:
                    self._brought.add((family.name, pattern))
                    self._bring(family.name, path, self._names.matching(pattern), family.words)

    def _bring(self, family: str, path: str, members: Iterable[str], words: str) -> None:
        for member in members:
            # A directory stays for what it holds.
            directory = self._inventory.entries[member].type is FileType.DIRECTORY
            if member != path and not directory and not self._lifted(member):
                self.need(member, Reason(ReasonCode.FAMILY, f"{words} ({family})", path))
