from snoop_image.packages.deb822 import paragraphs


def test_paragraphs_end_at_blank_lines_and_fields_go_on_at_indented_ones() -> None:
    text = b"A: 1\nskipped: 2\n  more\nB:3 \n x\n\ty\n \nA:\n\n\n# words\nskipped: 4\n\nb: 5\r\nB: \xff"
    assert list(paragraphs(text, {"a", "b"})) == [
        [("a", "1"), ("b", "3 \n x\n\ty")],
        [("a", "")],
        [("b", "5"), ("b", "\udcff")],
    ]
