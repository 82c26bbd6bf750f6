"""Byte strings by number, packed: about their own length and 16 bytes each, where a dict of them takes 150 more.

Open addressing over one buffer that holds them all. Nothing is ever taken out. No I/O; one thread.
"""

from array import array
from collections.abc import Iterator

_SMALLEST = 1 << 10
_EMPTY = 0xFFFFFFFF


class Keys:
    """Strings, numbered from 0 in the order in which they came."""

    def __init__(self) -> None:
        self._text = bytearray()
        self._ends = array("Q")
        self._table = array("I", [_EMPTY]) * _SMALLEST
        self._mask = _SMALLEST - 1

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, number: int) -> bytes:
        """Give a string back. IndexError if there is none of that number."""
        end = self._ends[number]
        return bytes(self._text[self._ends[number - 1] if number else 0 : end])

    def __iter__(self) -> Iterator[bytes]:
        return (self[number] for number in range(len(self._ends)))

    def find(self, key: bytes) -> int:
        """Tell a string's number; -1 if it is not there."""
        at = self._place(key)
        found = self._table[at]
        return -1 if found == _EMPTY else found

    def add(self, key: bytes) -> int:
        """Add a string that is not there yet; its number."""
        number = len(self._ends)
        self._text += key
        self._ends.append(len(self._text))
        # Half empty, it takes one step and a half to find a string.
        if 2 * number >= self._mask:
            self._grow()
        else:
            self._table[self._place(key)] = number
        return number

    def _place(self, key: bytes) -> int:
        """Find where a string stands in the table, or would."""
        table, mask, text, ends = self._table, self._mask, self._text, self._ends
        at, length = hash(key) & mask, len(key)
        while (number := table[at]) != _EMPTY:
            end = ends[number]
            if end - (ends[number - 1] if number else 0) == length and text.startswith(key, end - length):
                break
            at = at + 1 & mask
        return at

    def _grow(self) -> None:
        size = 2 * len(self._table)
        table, mask = array("I", [_EMPTY]) * size, size - 1
        for number, key in enumerate(self):
            at = hash(key) & mask
            while table[at] != _EMPTY:
                at = at + 1 & mask
            table[at] = number
        self._table, self._mask = table, mask
