"""What stays whatever the evidence says: what scanners, libc and runtimes take for granted, each with its reason.

A person may protect more, or lift a protection: by patterns (`names.expanded`).
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from snoop_image.links import resolve
from snoop_image.model import FileType, Inventory, PackageKind
from snoop_image.names import Names, compiled, expanded
from snoop_image.reasons import Reason, ReasonCode
from snoop_image.scripts import program

_SYSTEM_PACKAGES = (PackageKind.DEB, PackageKind.APK, PackageKind.RPM)


@dataclass(frozen=True, slots=True)
class Protection:
    """What a person says of protection."""

    extra: tuple[str, ...] = ()
    """Patterns of paths to keep (without a slash at their head: anywhere); of a directory, with all below it."""
    without: tuple[str, ...] = ()
    """Patterns of paths that nothing but use and hard need keeps: neither a protection nor a family of plug-ins."""


NO_CHANGE = Protection()


@dataclass(frozen=True, slots=True)
class _Rule:
    """Paths to keep."""

    code: ReasonCode
    words: str
    patterns: tuple[str, ...]


# Databases: dpkg(1), distroless' status.d, apk(8) and its place since 3.22, rpm(8) and its place since Fedora 36.
_RULES = (
    _Rule(
        ReasonCode.PACKAGE_DATABASE,
        "a package database: scanners read from it what the image holds",
        (
            "/var/lib/dpkg/{status,status.d/**,available,diversions,statoverride,arch,info/**,alternatives/**,triggers/**}",
            "{/usr,}/lib/apk/{db,exec}/**",
            "/etc/apk/{world,arch,repositories,keys/*}",
            "{/var/lib,/usr/lib/sysimage,/usr/share}/rpm/**",
            "/var/lib/rpmmanifest/*",
            "/var/lib/{pacman/local,db/xbps}/**",
        ),
    ),
    _Rule(
        ReasonCode.CERTIFICATES,
        "certificates of authorities: TLS clients read them when they first connect",
        (
            "/etc/ssl/{cert.pem,certs/**,ca-bundle.pem}",
            "/etc/pki/{ca-trust,tls/certs,tls/cert.pem,java}/**",
            "/etc/pki/{tls/cert.pem,java/cacerts}",
            "/etc/{ca-certificates.conf,ca-certificates/**}",
            "/usr/share/{ca-certificates,pki}/**",
            "/usr/local/share/ca-certificates/**",
            "/usr/{lib,local}/ssl/{cert.pem,certs,certs/*}",
            "/etc/openssl/certs/**",
            "/var/lib/ca-certificates/**",
            "/**/{certifi,pip/_vendor/certifi,botocore}/cacert.pem",
        ),
    ),
    _Rule(
        ReasonCode.ACCOUNTS,
        "users and groups: libc, runtimes and shells look them up",
        ("/etc/{passwd,group,shadow,gshadow,subuid,subgid,shells,login.defs}{,-}",),
    ),
    _Rule(
        ReasonCode.NAME_SERVICE,
        "how names are looked up: libc reads it, runtimes mount over it",
        (
            "{/usr,}/etc/{nsswitch.conf,hosts,hostname,resolv.conf,host.conf,gai.conf,services,protocols,networks,rpc}",
            "/etc/{mtab,aliases,ethers,netgroup}",
        ),
    ),
    _Rule(
        ReasonCode.IDENTITY,
        "says what the image is: scanners and programs read it",
        (
            "{/etc,/usr/lib}/{os-release,initrd-release}",
            "/etc/{*-release,*_version,lsb-release,issue,issue.net,machine-id,debian_version,alpine-release}",
            "{/etc,/usr/lib}/{mime.types,system-release-cpe}",
            "/root/buildinfo/**",
        ),
    ),
    _Rule(
        ReasonCode.LOADER,
        "where the dynamic loader finds libraries",
        ("/etc/ld.so.{cache,conf,preload,conf.d/*}", "/etc/ld-musl-*.path"),
    ),
    _Rule(
        ReasonCode.TIME_ZONE,
        "the time zone, and the zones that programs take for granted",
        (
            "/etc/{localtime,timezone,adjtime}",
            "/usr/share/zoneinfo/{UTC,UCT,GMT,Universal,Zulu,localtime,posixrules,Etc/UTC,Etc/UCT,Etc/GMT,Factory}",
            "/usr/share/zoneinfo/{zone.tab,zone1970.tab,iso3166.tab,tzdata.zi,leapseconds,leap-seconds.list,+VERSION}",
            "/**/tzdata/zoneinfo/{UTC,Etc/UTC,GMT}",
        ),
    ),
    _Rule(
        ReasonCode.LOCALE,
        "the locale without a language, with UTF-8",
        (
            "/usr/lib/locale/C.{utf8,UTF-8}/**",
            "/usr/share/i18n/locales/C",
            "/usr/share/locale/locale.alias",
            "/etc/{locale.conf,locale.alias,default/locale}",
        ),
    ),
)
_LANGUAGES = ("LANG", "LC_ALL", "LC_CTYPE", "LC_COLLATE", "LC_MESSAGES", "LC_TIME", "LC_NUMERIC", "LC_MONETARY")


def protected(inventory: Inventory, names: Names, protection: Protection) -> Iterator[tuple[str, Reason]]:
    """Give each protected name, which may lead over links, with a reason. ImageError: a pattern of too many choices."""
    lifted = Lifted(protection)
    for path, reason in _protected(inventory, names):
        if not lifted(path) and not lifted(resolve(inventory.entries, path).path):
            yield path, reason
    for pattern in protection.extra:
        for path in _wholes(names, pattern):
            yield path, Reason(ReasonCode.CHOSEN, f"wanted: {pattern}")


class Lifted:
    """Says whether a person lifted the protection of a path."""

    def __init__(self, protection: Protection) -> None:
        patterns = [compiled(one).pattern for pattern in protection.without for one in expanded(_absolute(pattern))]
        self._match = re.compile("|".join(f"(?:{one})(?:/.*)?" for one in patterns) or "(?!)", re.DOTALL).fullmatch

    def __call__(self, path: str) -> bool:
        """Say whether it, or a directory above it, is among those named."""
        return self._match(path) is not None


def _absolute(pattern: str) -> str:
    """Let a pattern that begins with no slash match anywhere."""
    return pattern if pattern.startswith(("/", "{")) else f"/**/{pattern}"


def _protected(inventory: Inventory, names: Names) -> Iterator[tuple[str, Reason]]:
    for rule in _RULES:
        for pattern in rule.patterns:
            for path in names.matching(pattern):
                yield path, Reason(rule.code, rule.words)
    for package in inventory.packages:
        if package.kind in _SYSTEM_PACKAGES and package.database:
            yield package.database, Reason(ReasonCode.PACKAGE_DATABASE, "tells of the package " + package.name)
    yield from _started(inventory)
    yield from _places(inventory)
    yield from _languages(inventory, names)


def _started(inventory: Inventory) -> Iterator[tuple[str, Reason]]:
    """Give the programs of ENTRYPOINT and CMD, and what these name: `["docker-entrypoint.sh"]`, `["sh", "-c", "…"]`."""
    config = inventory.config
    environment = dict(pair.partition("=")[::2] for pair in config.environment)
    words = [("ENTRYPOINT", config.entrypoint), ("CMD", config.command)]
    for what, command in words:
        for argument in command:
            for word in _words(argument):
                if found := program(word, environment, config.working_directory, inventory.entries):
                    yield found, Reason(ReasonCode.ENTRYPOINT, f"named by the image's {what}")


def _words(argument: str) -> Iterator[str]:
    """Give an argument, and the words of one that is a shell's command."""
    yield argument
    if " " in argument or ";" in argument:
        try:
            yield from shlex.split(argument)
        except ValueError:
            yield from argument.split()


def _places(inventory: Inventory) -> Iterator[tuple[str, Reason]]:
    config = inventory.config
    for volume in config.volumes:
        yield volume, Reason(ReasonCode.PLACE, "a volume of the image")
    if config.working_directory:
        yield config.working_directory, Reason(ReasonCode.PLACE, "the image's working directory")
    for directory in ("/", "/tmp", "/var/tmp", "/run", "/dev", "/proc", "/sys", "/etc", "/root", "/home", "/var/run"):  # noqa: S108
        yield directory, Reason(ReasonCode.PLACE, "a directory that runtimes and programs take for granted")
    # Of a merged /usr, /bin is such a link: without it there is no /bin/sh. They weigh nothing.
    for path, entry in inventory.entries.items():
        if entry.type is FileType.SYMLINK and path.rfind("/") == 0:
            found = resolve(inventory.entries, path).entry
            if found is not None and found.type is FileType.DIRECTORY:
                yield path, Reason(ReasonCode.PLACE, "a link at the top that leads to a directory")
    user = config.user.split(":", 1)[0] or "root"
    text = inventory.contents.get("/etc/passwd", b"").decode("utf-8", "surrogateescape")
    for line in text.splitlines():
        # passwd(5): name, password, UID, GID, comment, home, shell.
        fields = line.split(":")
        if len(fields) == 7 and user in (fields[0], fields[2]):
            yield fields[5], Reason(ReasonCode.PLACE, f"the home of the image's user {user}")
            if user != "root":
                break


def _languages(inventory: Inventory, names: Names) -> Iterator[tuple[str, Reason]]:
    """Give the locale and the zone that the image's environment, or /etc/timezone, names."""
    environment = dict(pair.partition("=")[::2] for pair in inventory.config.environment)
    wanted = {environment.get(name, "") for name in _LANGUAGES} - {"", "C", "POSIX"}
    for locale in sorted(wanted):
        stem, _, codeset = locale.partition("@")[0].partition(".")
        spelled = {codeset, codeset.lower(), codeset.lower().replace("-", "")}
        reason = Reason(ReasonCode.LOCALE, f"the locale {locale} of the image's environment")
        for name in sorted({locale, stem, *(f"{stem}.{one}" for one in spelled if one)}):
            directory = f"/usr/lib/locale/{name}"
            if "/" not in name and directory in inventory.entries:
                yield from ((path, reason) for path in names.below(directory))
        if stem not in ("C", "POSIX") and "/usr/lib/locale/locale-archive" in inventory.entries:
            yield "/usr/lib/locale/locale-archive", reason
    zone = inventory.contents.get("/etc/timezone", b"").decode("utf-8", "surrogateescape").strip()
    for name in {environment.get("TZ", "").lstrip(":"), zone} - {""}:
        path = name if name.startswith("/") else f"/usr/share/zoneinfo/{name}"
        if resolve(inventory.entries, path).found:
            yield path, Reason(ReasonCode.TIME_ZONE, f"the time zone {name} of the image")


def _wholes(names: Names, pattern: str) -> Iterator[str]:
    """Give what a pattern matches, of a directory with all below it."""
    for path in names.matching(_absolute(pattern)):
        yield path
        yield from names.below(path)


def empty_directories(inventory: Inventory) -> Iterator[str]:
    """Give the directories in which the image has nothing."""
    filled = {path[: path.rfind("/")] or "/" for path in inventory.entries}
    for path, entry in inventory.entries.items():
        if entry.type is FileType.DIRECTORY and path not in filled:
            yield path
