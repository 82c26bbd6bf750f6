"""Package URLs, by which other tools know a package (https://github.com/package-url/purl-spec)."""

import re

from packageurl import PackageURL

from snoop_image.model import Package, PackageKind

# Namespaces of the specification's examples and of other tools, where they are not os-release's ID.
_NAMESPACES = {"rhel": "redhat", "opensuse-leap": "opensuse", "opensuse-tumbleweed": "opensuse"}
_USUAL = {PackageKind.DEB: "debian", PackageKind.APK: "alpine", PackageKind.RPM: ""}
_EPOCH = re.compile(r"(\d+):(.*)")


def purl(package: Package, distribution: tuple[str, str] = ("", "")) -> str:
    """Give a package's URL; `distribution` is os-release's ID and VERSION_ID."""
    identifier, release = distribution
    name, version = package.name, package.version
    namespace = ""
    qualifiers: dict[str, str] = {}
    if package.kind is PackageKind.NODE:
        # Scopes are namespaces.
        namespace, _, name = name.rpartition("/")
    elif package.kind is not PackageKind.PYTHON:
        namespace = _NAMESPACES.get(identifier, identifier) or _USUAL[package.kind]
        qualifiers["arch"] = package.architecture
        if identifier and release:
            qualifiers["distro"] = f"{identifier}-{release}"
        if package.kind is PackageKind.RPM and (epoch := _EPOCH.fullmatch(version)):
            qualifiers["epoch"], version = epoch.groups()
    qualifiers = {key: value for key, value in qualifiers.items() if value}
    return PackageURL(package.kind.value, namespace or None, name, version or None, qualifiers).to_string()
