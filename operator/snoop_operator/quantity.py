"""Kubernetes quantities (`50m`, `64Mi`, `1e3`) as exact numbers, and back. Pure; no I/O.

The grammar is that of k8s.io/apimachinery/pkg/api/resource. Fractions keep what decimals and binary suffixes say.
"""

import re
from collections.abc import Iterable
from fractions import Fraction

_SUFFIXES = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
    "Pi": Fraction(2**50),
    "Ei": Fraction(2**60),
}
# The exponent is bounded: 1e999999999 is no quantity, but would be a gigabyte of digits.
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE]([+-]?[0-9]{1,2})|([numkMGTPE]|[KMGTPE]i)?)")


class QuantityError(ValueError):
    """The text is no quantity."""


def parse(text: object) -> Fraction:
    """Read a quantity, given as a string or as the number that YAML made of it. QuantityError if it is none."""
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise QuantityError(f"{text!r} is no quantity such as 50m or 64Mi")
    match = _QUANTITY.fullmatch(str(text).strip())
    if match is None or len(match.group(1)) > 40:
        raise QuantityError(f"{text!r} is no quantity such as 50m or 64Mi")
    number, exponent, suffix = match.groups()
    scale = Fraction(10) ** int(exponent) if exponent else _SUFFIXES[suffix or ""]
    return Fraction(number) * scale


def largest(texts: Iterable[str]) -> str:
    """Pick the largest of some quantities, as it was written. ValueError if there is none."""
    return max(texts, key=parse)
