"""Plug-ins of libc and PAM that configuration files name: NSS services and PAM modules.

Sources: nsswitch.conf(5), pam.conf(5), pam.d(5), glibc's nss/nss_module.c. If a file says what is not understood, all
plug-ins that are there are given.
"""

import re
from collections.abc import Iterator

from snoop_image.families import LIBRARIES
from snoop_image.loader import Loader
from snoop_image.names import Names

LIBC = re.compile(r"/(?:libc\.so\.6|libc-2\.[0-9]+\.so)")
PAM = re.compile(r"/libpam\.so\.[0-9.]+")
# What glibc does without a file, or a line in it (nss/nss_database.c); files and dns are in libc itself since 2.34.
_ALWAYS = ("files", "dns", "compat")
_NSS_FILES = ("/etc/nsswitch.conf", "/usr/etc/nsswitch.conf", "/etc/authselect/nsswitch.conf")
_PAM_DIRECTORIES = ("/etc/pam.d", "/usr/lib/pam.d", "/usr/share/pam.d", "/usr/etc/pam.d", "/etc/authselect")
_MODULE = re.compile(r"(?:[^\s\[\]]*/)?(pam_[\w.-]+\.so)")
# Programs that modules run: pam_unix(8), pam_mkhomedir(8) and others.
_HELPERS = "{/usr,}/{s,}bin/{unix_chkpwd,unix_update,mkhomedir_helper,pam_timestamp_check,pwhistory_helper,faillock}"


def name_services(loader: Loader, names: Names) -> Iterator[str]:
    """Give the NSS plug-ins of the services that nsswitch.conf names."""
    services = set(_ALWAYS)
    for path in _NSS_FILES:
        for line in loader.read_text(path).splitlines():
            _, _, listed = line.split("#", 1)[0].partition(":")
            services.update(re.sub(r"\[[^\]]*\]?", " ", listed).split())
    for service in sorted(services):
        if re.fullmatch(r"[\w.+-]+", service):
            yield from names.matching(f"{LIBRARIES}/libnss_{service}{{.so.2,-2.*.so}}")


def pam_modules(loader: Loader, names: Names) -> Iterator[str]:
    """Give PAM's configuration, the modules that it names, and what these run and read."""
    files = [path for directory in _PAM_DIRECTORIES for path in names.children(directory)]
    files += names.matching("/etc/pam.conf")
    wanted: set[str] = set()
    for path in files:
        wanted.update(_MODULE.findall(loader.read_text(path)))
    yield from files
    found = False
    for module in sorted(wanted):
        for path in names.matching(f"{LIBRARIES}/security/{module}"):
            found = True
            yield path
    if not found:
        yield from names.matching(f"{LIBRARIES}/security/pam_*.so")
    yield from names.matching(f"{LIBRARIES}/security/pam_filter/*")
    yield from names.matching("/etc/security/**")
    yield from names.matching("/etc/{environment,login.defs,securetty,shells,nologin,default/locale}")
    yield from names.matching(_HELPERS)


def wanted(path: str) -> bool:
    """Say whether a file's content is to be kept for this."""
    return path in _NSS_FILES or path == "/etc/pam.conf" or path.rpartition("/")[0] in _PAM_DIRECTORIES
