"""Takes the BTF out of a compressed kernel: python3 tests/kernels/btf.py VMLINUZ OUT.

A bzImage's header tells where the payload lies (Documentation/arch/x86/boot.rst in the kernel); the payload is an ELF
file, compressed; its .BTF section is what the running kernel shows as /sys/kernel/btf/vmlinux. x86 and ELF64 alone.
"""

import gzip
import lzma
import struct
import subprocess
import sys
from pathlib import Path

TOOLS = {b"\x28\xb5\x2f\xfd": "zstd", b"\x02\x21\x4c\x18": "lz4"}
"""What Python's library does not unpack: Debian's packages of these names."""


def payload(image: bytes) -> bytes:
    """Unpack a bzImage. ValueError if it is none, or packed in a way that is not known here."""
    if image[0x202:0x206] != b"HdrS":
        raise ValueError("no bzImage")
    sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (sectors + 1) * 512 + offset
    packed = image[start : start + length]
    if packed[:6] == b"\xfd7zXZ\0":
        return lzma.LZMADecompressor().decompress(packed)
    if packed[:2] == b"\x1f\x8b":
        return gzip.decompress(packed)
    for magic, tool in TOOLS.items():
        if packed.startswith(magic):
            # The kernel's size follows the stream, in four bytes.
            return subprocess.run([tool, "-dcq"], input=packed[:-4], stdout=subprocess.PIPE, check=True).stdout
    raise ValueError(f"a kernel packed by {packed[:4]!r}")


def section(elf: bytes, name: bytes) -> bytes:
    """Cut a section out of a little-endian ELF64 file. ValueError if it has none of this name."""
    if elf[:6] != b"\x7fELF\x02\x01":
        raise ValueError("no ELF64 file")
    (headers,) = struct.unpack_from("<Q", elf, 0x28)
    size, count, names = struct.unpack_from("<HHH", elf, 0x3A)
    found = [struct.unpack_from("<I20xQQ", elf, headers + size * index) for index in range(count)]
    for label, offset, length in found:
        start = found[names][1] + label
        if elf[start : elf.index(b"\0", start)] == name:
            return elf[offset : offset + length]
    raise ValueError(f"no section {name.decode()}")


def main(image: str, out: str) -> None:
    """Write the BTF of `image` to `out`; whoever looks at `out` meanwhile finds all of it or nothing."""
    btf = section(payload(Path(image).read_bytes()), b".BTF")
    part = Path(f"{out}.part")
    part.write_bytes(btf)
    part.rename(out)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        sys.exit(f"btf.py: {error}")
