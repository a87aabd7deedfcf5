"""Damage of bytes, and compressed files that unpack to far more than their size."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path


def truncated(content: bytes, parts: int = 3) -> Iterator[tuple[str, bytes]]:
    """The beginnings of a file."""
    for part in range(1, parts):
        yield f"cut off after {part} of {parts} parts", content[: len(content) * part // parts]
    yield "without its last byte", content[:-1]


def flipped(content: bytes, copies: int = 2, bits: int = 12) -> Iterator[tuple[str, bytes]]:
    """Copies of a file with some bits changed."""
    for copy in range(copies):
        dice, made = random.Random(copy), bytearray(content)
        for _ in range(bits):
            made[dice.randrange(len(made))] ^= 1 << dice.randrange(8)
        yield f"flipped bits {copy}", bytes(made)


def noise(size: int, seed: int = 0) -> bytes:
    """Random bytes."""
    return random.Random(seed).randbytes(size)


def damaged(content: bytes) -> Iterator[tuple[str, bytes]]:
    """What disks and networks do to files."""
    yield "empty", b""
    yield "one byte", content[:1]
    yield "zeros", bytes(len(content))
    yield "noise", noise(4096)
    yield "twice", content * 2
    yield "after noise", noise(100) + content
    yield "before noise", content + noise(1000)
    yield "with line ends of another system", content.replace(b"\n", b"\r\n")
    yield from truncated(content)
    yield from flipped(content)


def gzip_bomb(block: bytes, megabytes: int) -> Callable[[Path], None]:
    """A file that unpacks to so many MB of one block."""
    return lambda path: path.write_bytes(_gzipped(block, megabytes)) and None


def _gzipped(block: bytes, megabytes: int) -> bytes:
    packer, out, piece = zlib.compressobj(9, zlib.DEFLATED, 31), io.BytesIO(), _filled(block)
    for _ in range(megabytes):
        out.write(packer.compress(piece))
    out.write(packer.flush())
    return out.getvalue()


def _filled(block: bytes) -> bytes:
    return (block * (1024**2 // len(block) + 1))[: 1024**2]


def xz_bomb(block: bytes, megabytes: int) -> Callable[[Path], None]:
    """The same with LZMA."""

    def made(path: Path) -> None:
        packer, piece = lzma.LZMACompressor(preset=0), _filled(block)
        with path.open("wb") as file:
            for _ in range(megabytes):
                file.write(packer.compress(piece))
            file.write(packer.flush())

    return made


def bz2_bomb(block: bytes, megabytes: int) -> Callable[[Path], None]:
    """The same with bzip2."""

    def made(path: Path) -> None:
        packer, piece = bz2.BZ2Compressor(1), _filled(block)
        with path.open("wb") as file:
            for _ in range(megabytes):
                file.write(packer.compress(piece))
            file.write(packer.flush())

    return made


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda content: gzip.compress(content, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
}
"""Compressions that ASE reads, by suffix."""
