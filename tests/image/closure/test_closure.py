import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.image.closure.images import image, inventory, library, program

from snoop_image.closure import closure, wanted
from snoop_image.model import Entry, FileType, ImageConfig, Inventory
from snoop_image.names import Names
from snoop_image.scripts import interpreter

LIB = "/usr/lib/x86_64-linux-gnu"


def codes(inventory: Inventory, *used: str) -> dict[str, set[str]]:
    return {path: {reason.code.value for reason in reasons} for path, reasons in closure(inventory, used).items()}


@pytest.mark.parametrize(
    ("line", "programs"),
    [
        ("/bin/sh -e", ["/bin/sh"]),
        ("/usr/bin/env python3", ["/usr/bin/env", "python3"]),
        ("/usr/bin/env -S A=1 -u B perl -w", ["/usr/bin/env", "perl"]),
        ("/usr/bin/env -iS'awk -f'", ["/usr/bin/env", "awk -f"]),
        ("/bin/busybox env sh", ["/bin/busybox", "env", "sh"]),
        ("", []),
        ("/usr/bin/env", ["/usr/bin/env"]),
        ("/usr/bin/env -S 'unclosed x", ["/usr/bin/env", "'unclosed"]),
    ],
)
def test_a_scripts_first_line_names_programs(line: str, programs: list[str]) -> None:
    assert list(interpreter(line)) == programs


def test_a_script_needs_its_interpreter_as_the_images_path_finds_it() -> None:
    found = codes(
        image(
            "/usr/bin/python3",
            "/usr/bin/env",
            "/opt/bin/python3.12",
            scripts={"/app": "/usr/bin/env python3"},
            links={"/bin": "usr/bin", "/opt/bin/python3": "python3.12"},
            config=ImageConfig(environment=("PATH=/opt/bin:/bin",)),
        ),
        "/app",
    )
    assert found["/opt/bin/python3.12"] == {"script_interpreter", "link_target"}
    assert {"/usr/bin/env", "/opt/bin/python3"} <= set(found)
    assert "/usr/bin/python3" not in found


def test_an_interpreter_that_is_a_script_has_one_too() -> None:
    scripts = {"/a": "/b", "/b": "/c -x", "/c": "/a"}
    assert set(closure(image(scripts=scripts), ["/a"])) == {"/a", "/b", "/c"}


def test_python_source_and_byte_code_stay_together() -> None:
    inventory = image(
        "/p/m.py",
        "/p/__pycache__/m.cpython-311.pyc",
        "/p/__pycache__/m.cpython-311.opt-1.pyc",
        "/p/__pycache__/m_other.cpython-311.pyc",
        "/p/old.py",
        "/p/old.pyc",
    )
    compiled = {"/p/__pycache__/m.cpython-311.pyc", "/p/__pycache__/m.cpython-311.opt-1.pyc"}
    assert compiled <= set(closure(inventory, ["/p/m.py"]))
    assert "/p/__pycache__/m_other.cpython-311.pyc" not in closure(inventory, ["/p/m.py"])
    assert codes(inventory, "/p/__pycache__/m.cpython-311.pyc")["/p/m.py"] == {"source"}
    assert codes(inventory, "/p/old.pyc")["/p/old.py"] == {"source"}


def test_the_name_by_which_a_used_library_is_wanted_stays() -> None:
    found = codes(
        image(elf={"/lib/libz.so.1.2": library(soname="libz.so.1")}, links={"/lib/libz.so.1": "libz.so.1.2"}),
        "/lib/libz.so.1.2",
    )
    assert "soname_link" in found["/lib/libz.so.1"] | found["/lib/libz.so.1.2"]
    assert "/lib/libz.so.1" in found


def test_a_used_link_needs_what_it_leads_to() -> None:
    assert codes(image("/b", links={"/a": "b"}), "/a")["/b"] == {"link_target"}


def test_directories_on_the_way_of_a_link_are_needed() -> None:
    found = codes(image("/x/f", links={"/a": "d/../x/f"}, directories=("/d",)), "/a")
    assert found["/d"] == {"directory"}


def test_name_services_are_those_of_nsswitch_conf() -> None:
    inventory = image(
        f"{LIB}/libnss_ldap.so.2",
        f"{LIB}/libnss_systemd.so.2",
        f"{LIB}/libnss_files.so.2",
        f"{LIB}/libgcc_s.so.1",
        elf={f"{LIB}/libc.so.6": library()},
        contents={"/etc/nsswitch.conf": b"passwd: files [NOTFOUND=return] ldap # systemd\n"},
    )
    found = codes(inventory, f"{LIB}/libc.so.6")
    assert {f"{LIB}/libnss_ldap.so.2", f"{LIB}/libnss_files.so.2", f"{LIB}/libgcc_s.so.1"} <= set(found)
    assert f"{LIB}/libnss_systemd.so.2" not in found


def test_pam_modules_are_those_that_its_configuration_names() -> None:
    inventory = image(
        f"{LIB}/security/pam_unix.so",
        f"{LIB}/security/pam_ftp.so",
        "/usr/sbin/unix_chkpwd",
        elf={f"{LIB}/libpam.so.0": library()},
        contents={"/etc/pam.d/login": b"auth [success=1 default=ignore] pam_unix.so nullok\n"},
    )
    found = codes(inventory, f"{LIB}/libpam.so.0")
    assert {f"{LIB}/security/pam_unix.so", "/usr/sbin/unix_chkpwd", "/etc/pam.d/login"} <= set(found)
    assert f"{LIB}/security/pam_ftp.so" not in found


def test_pam_without_a_configuration_keeps_all_modules() -> None:
    inventory = image(f"{LIB}/security/pam_ftp.so", elf={f"{LIB}/libpam.so.0": library()})
    assert f"{LIB}/security/pam_ftp.so" in codes(inventory, f"{LIB}/libpam.so.0")


@pytest.mark.parametrize(
    ("trigger", "member"),
    [
        (f"{LIB}/libcrypto.so.3", f"{LIB}/ossl-modules/legacy.so"),
        ("/opt/ssl/lib/libcrypto.so.3", "/opt/ssl/lib/ossl-modules/legacy.so"),
        (f"{LIB}/gconv/gconv-modules.cache", f"{LIB}/gconv/EUC-JP.so"),
        (f"{LIB}/libsasl2.so.2.0.25", f"{LIB}/sasl2/libplain.so"),
        (f"{LIB}/libkrb5.so.3.3", f"{LIB}/krb5/plugins/preauth/pkinit.so"),
        ("/usr/share/zoneinfo/Europe/Berlin", "/usr/share/zoneinfo/Asia/Tokyo"),
        ("/usr/lib/python3.11/encodings/__init__.py", "/usr/lib/python3.11/encodings/cp037.py"),
        ("/usr/lib/python3.11/encodings/__init__.py", "/usr/lib/python3.11/_strptime.py"),
        ("/usr/bin/perl", "/usr/share/perl/5.36.0/unicore/lib/Lower/Y.pl"),
        ("/usr/bin/perl", f"{LIB}/perl-base/unicore/To/Lower.pl"),
        ("/usr/lib/jvm/java-17/lib/server/libjvm.so", "/usr/lib/jvm/java-17/lib/libnio.so"),
        ("/usr/lib/jvm/java-17/lib/server/libjvm.so", "/usr/lib/jvm/java-17/conf/security/java.security"),
        ("/usr/lib/postgresql/15/bin/postgres", "/usr/lib/postgresql/15/lib/plpgsql.so"),
        ("/usr/bin/mariadb", "/usr/lib/x86_64-linux-gnu/libmariadb3/plugin/client_ed25519.so"),
        ("/usr/bin/git", "/usr/lib/git-core/git-remote-https"),
        ("/opt/mkl/libmkl_core.so.2", "/opt/mkl/libmkl_avx512.so.2"),
        ("/usr/local/lib/libicuuc.so.72", "/usr/share/icu/72/icudt72l.dat"),
    ],
)
def test_a_family_comes_with_whatever_loads_it(trigger: str, member: str) -> None:
    assert codes(image(trigger, member, "/other"), trigger) == {member: {"family"}}


def test_a_clock_alone_does_not_bring_all_time_zones() -> None:
    zones = "/usr/share/zoneinfo"
    inventory = image(f"{zones}/Etc/UTC", f"{zones}/Asia/Tokyo", links={"/etc/localtime": f"{zones}/Etc/UTC"})
    assert "/usr/share/zoneinfo/Asia/Tokyo" not in codes(inventory, "/etc/localtime", "/usr/share/zoneinfo/Etc/UTC")


def test_a_family_needs_its_own_libraries() -> None:
    elf = {
        f"{LIB}/libcrypto.so.3": library(),
        f"{LIB}/engines-3/e.so": library("libp11.so"),
        f"{LIB}/libp11.so": library(),
    }
    assert f"{LIB}/libp11.so" in codes(image(elf=elf), f"{LIB}/libcrypto.so.3")


def test_few_contents_are_wanted() -> None:
    assert all(map(wanted, ["/etc/ld.so.cache", "/etc/ld.so.conf.d/a.conf", "/etc/nsswitch.conf", "/etc/pam.d/su"]))
    assert not any(map(wanted, ["/etc/hosts", "/usr/share/x", "/etc/pam.d/sub/su", "/etc/ssl/certs/a.pem"]))


def test_patterns_match_as_documented() -> None:
    names = Names(image("/a/b/c.so", "/a/c.so", "/a/b-x/c.so", "/a/.h/d", "/{x}").entries)
    assert set(names.matching("/a/*/c.so")) == {"/a/b/c.so", "/a/b-x/c.so"}
    assert set(names.matching("/a/**/c.so")) == {"/a/b/c.so", "/a/c.so", "/a/b-x/c.so"}
    assert set(names.matching("/{a,none}/{b,b-?}/*")) == {"/a/b/c.so", "/a/b-x/c.so"}
    assert list(names.matching("/a/b")) == ["/a/b"]
    assert list(names.children("/a")) == ["/a/.h", "/a/b", "/a/b-x", "/a/c.so"]
    assert set(names.below("/a/b")) == {"/a/b/c.so"}
    assert set(names.children("/")) == {"/a", "/{x}"}


_NAMES = st.sampled_from(["a", "b", "libc.so.6", "gconv", "x.py", "__pycache__"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))


@given(
    paths=st.dictionaries(_PATHS, st.one_of(st.none(), _PATHS), max_size=10),
    needs=st.dictionaries(_PATHS, st.lists(_NAMES | _PATHS, max_size=3), max_size=5),
    scripts=st.dictionaries(_PATHS, _PATHS | st.just("/usr/bin/env a"), max_size=3),
    extra=st.sampled_from(["$ORIGIN", "$ORIGIN/..", "/a", "${ORIGIN}/$LIB", ":", "a"]),
)
def test_any_image_comes_to_an_end_and_closes(
    paths: dict[str, str | None], needs: dict[str, list[str]], scripts: dict[str, str], extra: str
) -> None:
    files = [path for path, target in paths.items() if target is None] + [*needs, *scripts]
    entries = [Entry(path, FileType.SYMLINK, 0o777, target=target) for path, target in paths.items() if target]
    entries += [Entry(path, FileType.FILE, 0o755, size=1) for path in files]
    elf = {path: program(*names, rpath=(extra,)) for path, names in needs.items()}
    made = inventory(entries, elf, scripts)
    used = list(made.entries)[:3]
    found = closure(made, used)
    assert set(found) <= set(made.entries)
    # What is needed by what is needed is needed already.
    assert set(closure(made, [*used, *found])) == set(found)
