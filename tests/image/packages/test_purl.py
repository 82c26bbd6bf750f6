import pytest

from snoop_image.model import Package, PackageKind
from snoop_image.packages import purl


# Forms of https://github.com/package-url/purl-spec, types/.
@pytest.mark.parametrize(
    ("package", "distribution", "expected"),
    [
        (
            Package(PackageKind.DEB, "curl", "7.50.3-1", architecture="i386"),
            ("debian", "12"),
            "pkg:deb/debian/curl@7.50.3-1?arch=i386&distro=debian-12",
        ),
        (
            Package(PackageKind.DEB, "libstdc++6", "1:12.2+b1", architecture="all"),
            ("ubuntu", "24.04"),
            "pkg:deb/ubuntu/libstdc%2B%2B6@1:12.2%2Bb1?arch=all&distro=ubuntu-24.04",
        ),
        (Package(PackageKind.DEB, "a", "1"), ("", ""), "pkg:deb/debian/a@1"),
        (
            Package(PackageKind.APK, "curl", "7.83.0-r0", architecture="x86"),
            ("alpine", "3.16.1"),
            "pkg:apk/alpine/curl@7.83.0-r0?arch=x86&distro=alpine-3.16.1",
        ),
        (
            Package(PackageKind.RPM, "bind", "32:9.16-1.el9", architecture="x86_64"),
            ("rhel", "9.4"),
            "pkg:rpm/redhat/bind@9.16-1.el9?arch=x86_64&distro=rhel-9.4&epoch=32",
        ),
        (Package(PackageKind.RPM, "a", "1-2"), ("", ""), "pkg:rpm/a@1-2"),
        (Package(PackageKind.PYTHON, "Its.Name_x", "1.0"), ("debian", "12"), "pkg:pypi/its.name-x@1.0"),
        (Package(PackageKind.NODE, "@angular/cli", "12.3.1"), ("", ""), "pkg:npm/%40angular/cli@12.3.1"),
        (Package(PackageKind.NODE, "foo", ""), ("", ""), "pkg:npm/foo"),
    ],
)
def test_a_package_s_url_is_the_specification_s(package: Package, distribution: tuple[str, str], expected: str) -> None:
    assert purl(package, distribution) == expected
