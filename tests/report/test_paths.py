import pytest
from hypothesis import given
from hypothesis import strategies as st

from snoop_report.paths import decode, escape, normalise, unescape

NAMES = st.binary(max_size=40).map(lambda raw: decode(raw.replace(b"\0", b"")))
# Parts that meet each other's edges: stray bytes, backslashes, hex digits, and what looks like an escape.
TRICKY = st.lists(
    st.sampled_from(
        ["\\", "x", "\\x", "5c", "ff", "\udcff", "\udcc3", "\udca9", "é", "/", "..", "a", "\n", '"', "\\x41"]
    )
).map("".join)


@given(NAMES | TRICKY)
def test_an_escaped_path_is_valid_text_and_reads_back_as_it_was(path: str) -> None:
    # Stray bytes side by side may make up a valid character: as bytes they are the same name.
    path = decode(path.encode("utf-8", "surrogateescape"))

    written = escape(path)

    written.encode("utf-8")
    assert unescape(written) == path


def test_a_path_that_needs_no_escape_is_written_as_it_is() -> None:
    assert escape("/usr/share/dé jà\\vu") == "/usr/share/dé jà\\vu"


@pytest.mark.parametrize("text", ["/a\0b", "/a\\x00b"])
def test_no_path_holds_a_nul(text: str) -> None:
    with pytest.raises(ValueError, match="NUL"):
        unescape(text)


@pytest.mark.parametrize(
    ("path", "base", "root", "normal"),
    [
        ("/etc//nginx/./nginx.conf", "/", "/", "/etc/nginx/nginx.conf"),
        ("conf.d/", "/etc/nginx", "/", "/etc/nginx/conf.d"),
        ("../../../../etc/passwd", "/srv/app", "/", "/etc/passwd"),
        ("/etc/passwd", "/", "/jail", "/jail/etc/passwd"),
        ("/../../etc/passwd", "/", "/jail", "/jail/etc/passwd"),
        ("../x", "/jail", "/jail", "/jail/x"),
        ("../x", "/outside/of/it", "/jail", "/outside/of/x"),
        ("..", "/", "/", "/"),
    ],
)
def test_a_name_is_read_from_its_base_and_never_climbs_above_the_root(
    path: str, base: str, root: str, normal: str
) -> None:
    assert normalise(path, base, root) == normal


@given(NAMES | TRICKY, NAMES | TRICKY)
def test_a_normal_path_is_absolute_and_stays_as_it_is(path: str, base: str) -> None:
    normal = normalise(path, normalise(base))

    assert normal.startswith("/")
    assert not {"", ".", ".."} & set(normal[1:].split("/")) or normal == "/"
    assert normalise(normal) == normal
