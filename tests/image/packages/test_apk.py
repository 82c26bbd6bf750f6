from tests.image.packages.images import Link, of_files

from snoop_image.packages import Dependencies, ownership
from snoop_image.packages.apk import names

# Format: https://wiki.alpinelinux.org/wiki/Apk_spec and apk-tools, doc/apk-package.5.scd; fields as in Alpine 3.18.
INSTALLED = """\
C:Q1/se1PjO94hYXbfpNR1/61hVORIc=
P:musl
V:1.2.4-r2
A:x86_64
S:383152
I:622592
T:the musl c library (libc) implementation
U:https://musl.libc.org/
L:MIT
o:musl
m:Timo Teras <timo.teras@example.org>
t:1691404048
c:f93af038c3de7146121c2ea8124ba5ce29b4b058
p:so:libc.musl-x86_64.so.1=1
F:lib
R:ld-musl-x86_64.so.1
a:0:0:755
Z:Q1V8MWXJE0bKhXlYr4Xb3GmGFBiRk=
R:libc.musl-x86_64.so.1
a:0:0:777
Z:Q17yJ3JFNypA4mxhJJr0ou6CzsJVI=

C:Q1ldXZZhTJ1l3RB4RK/hcpXq5kUpw=
P:busybox
V:1.36.1-r4
A:x86_64
o:busybox
D:so:libc.musl-x86_64.so.1 !less-binsh alpine-baselayout-data>=3.4 apk-tools~2.14 gone@edge
p:/bin/sh cmd:busybox=1.36.1-r4
r:busybox-initscripts
s:busybox 1
F:bin
R:busybox
a:0:0:755
Z:Q1oo1VJkoFVvj1WKSIUSNIm3Jh9kQ=
R:sh
a:0:0:777
F:etc
M:0:0:755
R:securetty
F:etc/apk
R:keys
F:
R:root.txt
F:usr/share/doc
R:gone

C:Q1
P:alpine-baselayout-data
V:3.4.3-r1
A:x86_64
o:alpine-baselayout
i:musl

P:.build-deps
V:20231119.123456
A:noarch
D:/bin/sh cmd:busybox
"""
FILES: dict[str, bytes | str | Link] = {
    "/lib/ld-musl-x86_64.so.1": "",
    "/lib/libc.musl-x86_64.so.1": Link("ld-musl-x86_64.so.1"),
    "/bin/busybox": "",
    "/bin/sh": Link("/bin/busybox"),
    "/etc/securetty": "",
    "/etc/apk/keys": "",
    "/root.txt": "",
}


def test_packages_have_names_files_and_relations() -> None:
    found = of_files({"/lib/apk/db/installed": INSTALLED, **FILES}).packages()
    assert found["musl"].identity == ("apk", "musl", "1.2.4-r2", "x86_64")
    assert found["musl"].files == ("/lib/ld-musl-x86_64.so.1", "/lib/libc.musl-x86_64.so.1")
    assert found["musl"].provides == ("so:libc.musl-x86_64.so.1",)
    busybox = found["busybox"]
    assert busybox.files == ("/bin/busybox", "/bin/sh", "/etc/securetty", "/etc/apk/keys", "/root.txt")
    assert busybox.configuration == ("/etc/securetty",)
    assert busybox.requires == (
        ("so:libc.musl-x86_64.so.1",),
        ("alpine-baselayout-data",),
        ("apk-tools",),
        ("gone",),
    )
    assert busybox.provides == ("/bin/sh", "cmd:busybox")
    assert found["alpine-baselayout-data"].source == "alpine-baselayout"


def test_what_is_provided_is_needed() -> None:
    packages, _ = of_files({"/lib/apk/db/installed": INSTALLED, **FILES}).read()
    graph = Dependencies(packages)
    index = {one.name: at for at, one in enumerate(packages)}
    assert set(graph.needed([index[".build-deps"]])) == set(index.values())
    assert graph.purgeable([index["busybox"], index[".build-deps"]]) == [index["busybox"], index[".build-deps"]]
    assert graph.purgeable([index["busybox"]]) == []
    assert ownership(packages)["/bin/sh"] == (index["busybox"],)


def test_a_merged_usr_keeps_database_and_files_where_they_are() -> None:
    files = {f"/usr{path}": what for path, what in FILES.items() if path.startswith(("/lib/", "/bin/"))}
    merged = of_files(
        {"/usr/lib/apk/db/installed": INSTALLED, **files, "/lib": Link("usr/lib"), "/bin": Link("usr/bin")}
    )
    found = merged.packages()
    assert found["musl"].files == ("/usr/lib/ld-musl-x86_64.so.1", "/usr/lib/libc.musl-x86_64.so.1")
    assert found["musl"].database == "/usr/lib/apk/db/installed"


def test_versions_conflicts_and_tags_are_no_part_of_a_name() -> None:
    text = "a b>1 c<=2 d=3 e~4 f><Q1x g@edge h>=1@edge !i so:x.so.1 pc:y>=2 /bin/sh"
    assert list(names(text)) == [*"abcdefgh", "so:x.so.1", "pc:y", "/bin/sh"]
