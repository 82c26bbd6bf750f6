"""Makes small ELF files of any class and byte order, by the gABI."""

import struct


def elf(
    *,
    bits: int = 64,
    order: str = "<",
    machine: int = 62,
    kind: int = 3,
    interpreter: str = "",
    tags: tuple[tuple[int, str], ...] = (),
    dlopen: bytes = b"",
) -> bytes:
    """One loaded segment is the whole file, with the dynamic section, its strings, the interpreter and a note in it."""
    strings = b"\0"
    numbers: list[tuple[int, int]] = []
    for tag, text in tags:
        numbers.append((tag, len(strings)))
        strings += text.encode() + b"\0"
    ehsize, phsize = (52, 32) if bits == 32 else (64, 56)
    count = 1 + bool(tags) + bool(interpreter) + bool(dlopen)
    at = ehsize + count * phsize
    word = struct.Struct(order + ("II" if bits == 32 else "QQ"))
    base = 0x400000
    body = b""
    segments: list[tuple[int, int, int]] = []

    def place(kind: int, data: bytes) -> int:
        nonlocal body
        offset = at + len(body)
        body += data + b"\0" * (-len(data) % 8)
        segments.append((kind, offset, len(data)))
        return offset

    if interpreter:
        place(3, interpreter.encode() + b"\0")
    if dlopen:
        size = len(dlopen)
        place(4, struct.pack(order + "III", 4, size, 0x407C0C0A) + b"FDO\0" + dlopen)
    if tags:
        offset = at + len(body)
        body += strings + b"\0" * (-len(strings) % 8)
        numbers += [(5, base + offset), (10, len(strings)), (0, 0)]
        place(2, b"".join(word.pack(*pair) for pair in numbers))
    whole = at + len(body)
    segments.insert(0, (1, 0, whole))
    table = b""
    for one, offset, size in segments:
        if bits == 32:
            table += struct.pack(order + "IIIIIIII", one, offset, base + offset, 0, size, size, 4, 8)
        else:
            table += struct.pack(order + "IIQQQQQQ", one, 4, offset, base + offset, 0, size, size, 8)
    identification = b"\x7fELF" + bytes([1 if bits == 32 else 2, 1 if order == "<" else 2, 1]) + b"\0" * 9
    shape = order + ("HHIIIIIHHHHHH" if bits == 32 else "HHIQQQIHHHHHH")
    head = struct.pack(shape, kind, machine, 1, 0, ehsize, 0, 0, ehsize, phsize, len(segments), 0, 0, 0)
    return identification + head + table + body
