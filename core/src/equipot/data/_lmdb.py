"""Read LMDB files without LMDB's own code, which trusts every number in a file and crashes on damaged ones.

A file is a B+ tree of pages. Pages are read one by one, never mapped into memory, so that a file that becomes shorter
while it is read gives an error as well.
"""

from __future__ import annotations

import contextlib
import os
import struct
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from equipot.data._streams import reading
from equipot.errors import DataError, problem
from equipot.files import open_regular

_MAGIC = 0xBEEFC0DE
_VERSION = 1
_META = struct.Struct("<16xII16x48x32xQQQQ")
"""Magic, version; of the main tree: number of keys, root; last page, number of the transaction."""
_PAGE = struct.Struct("<QHHHH")
_NODE = struct.Struct("<HHHH")
_HEADER = 16
_BRANCH, _LEAF, _OVERFLOW = 1, 2, 4
_BIG, _SUB_TREE, _DUPLICATES = 1, 2, 4
_NONE = 2**64 - 1
_DEEPEST = 32


class _Tree(NamedTuple):
    page_size: int
    root: int
    entries: int
    pages: int
    transaction: int


class LMDBReader:
    """Keys and values of an LMDB file that is one file without sub-databases.

    Args:
        path: The file.

    Raises:
        DataError: If it is not an LMDB file, or shorter than it states; also later, if a page is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = str(path)
        with self._damaged():
            with open_regular(path) as file:
                self._descriptor = os.dup(file.fileno())
            weakref.finalize(self, os.close, self._descriptor)
            self._tree = self._newest()
            needed = self._tree.pages * self._tree.page_size
            if needed > (size := os.fstat(self._descriptor).st_size):
                what = f"is cut off: {size} of {needed} bytes"
                raise DataError(problem(self._path, what, hint="copy the file again"))

    def _damaged(self) -> contextlib.AbstractContextManager[None]:
        return reading(self._path, "it must be an LMDB file that is whole")

    def __len__(self) -> int:
        """Number of keys."""
        return self._tree.entries

    def __reduce__(self) -> tuple[type[LMDBReader], tuple[str]]:
        """Open the file again in another process."""
        return LMDBReader, (self._path,)

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None.

        Raises:
            DataError: If a page on the way to it is damaged.
        """
        with self._damaged():
            number = self._tree.root
            for _ in range(_DEEPEST):
                if number == _NONE:
                    return None
                page, flags, nodes = self._page(number)
                low, high = (1 if flags & _BRANCH else 0), len(nodes)
                while low < high:  # the first node beyond the key of a branch; the first not before it of a leaf
                    middle = (low + high) // 2
                    found = self._key(page, nodes[middle])
                    if found < key or (flags & _BRANCH and found == key):
                        low = middle + 1
                    else:
                        high = middle
                if flags & _LEAF:
                    there = low < len(nodes) and self._key(page, nodes[low]) == key
                    return self._value(page, nodes[low]) if there else None
                number = self._child(page, nodes[low - 1])
            raise DataError(problem(self._path, "is damaged: its tree is too deep"))

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All keys with their values, in the order of the keys.

        Raises:
            DataError: If a page is damaged.
        """
        stack = [] if self._tree.root == _NONE else [self._tree.root]
        left = self._tree.pages
        while stack:
            with self._damaged():
                left -= 1
                if left < 0:
                    raise DataError(problem(self._path, "is damaged: a page has two parents"))
                page, flags, nodes = self._page(stack.pop())
                if flags & _BRANCH:
                    stack += [self._child(page, node) for node in reversed(nodes)]
                    continue
            for node in nodes:
                with self._damaged():
                    pair = self._key(page, node), self._value(page, node)
                yield pair

    def _newest(self) -> _Tree:
        """The main tree after the last transaction; a file has two places for it, written in turn."""
        head = self._read(0, 4096)
        first = _META.unpack_from(head)
        size = struct.unpack_from("<I", head, _HEADER + 24)[0]
        if first[:2] != (_MAGIC, _VERSION):
            raise DataError(problem(self._path, "cannot be read: it is not an LMDB file"))
        if not 512 <= size <= 65536 or size & (size - 1):
            raise DataError(problem(self._path, "is damaged: a page cannot have this size", got=size))
        second = _META.unpack(self._read(size, _META.size))
        trees = [
            _Tree(size, root, entries, last + 1, transaction)
            for magic, version, entries, root, last, transaction in (first, second)
            if (magic, version) == (_MAGIC, _VERSION)
        ]
        return max(trees, key=lambda tree: tree.transaction)

    def _read(self, offset: int, count: int) -> bytes:
        found = os.pread(self._descriptor, count, offset)
        if len(found) < count:
            raise DataError(problem(self._path, "cannot be read: it is cut off", hint="copy the file again"))
        return found

    def _page(self, number: int) -> tuple[bytes, int, tuple[int, ...]]:
        """A branch or leaf: its bytes, flags and the offsets of its nodes."""
        self._check(number, 1)
        page = self._read(number * self._tree.page_size, self._tree.page_size)
        own, _, flags, lower, _ = _PAGE.unpack_from(page)
        if own != number or flags & (_BRANCH | _LEAF) not in (_BRANCH, _LEAF) or not _HEADER <= lower <= len(page):
            raise DataError(problem(self._path, f"is damaged: page {number} is not what it should be"))
        return page, flags, struct.unpack_from(f"<{(lower - _HEADER) // 2}H", page, _HEADER)

    def _check(self, number: int, count: int) -> None:
        if not 2 <= number <= self._tree.pages - count:
            raise DataError(problem(self._path, f"is damaged: there is no page {number}"))

    def _key(self, page: bytes, node: int) -> bytes:
        size = _NODE.unpack_from(page, node)[3]
        return page[node + _NODE.size : node + _NODE.size + size]

    def _child(self, page: bytes, node: int) -> int:
        low, high, flags, _ = _NODE.unpack_from(page, node)
        return low | high << 16 | flags << 32

    def _value(self, page: bytes, node: int) -> bytes:
        low, high, flags, key_size = _NODE.unpack_from(page, node)
        size, start = low | high << 16, node + _NODE.size + key_size
        if flags & (_SUB_TREE | _DUPLICATES):
            raise DataError(problem(self._path, "has sub-databases, which are not read"))
        if not flags & _BIG:
            if start + size > len(page):
                raise DataError(problem(self._path, "is damaged: a value is longer than its page"))
            return page[start : start + size]
        (number,) = struct.unpack_from("<Q", page, start)
        self._check(number, -(-(_HEADER + size) // self._tree.page_size))
        return self._read(number * self._tree.page_size + _HEADER, size)
