"""Caches that somebody else wrote: records of compiled files, statistics and kernels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from hostile import seeds as valid
from hostile.case import TOUCH, WORK, Case, Content, folder, in_mode, link_to, owned_by, pipe, sparse
from hostile.families import compiled
from hostile.families._configs import config_case
from hostile.seeds import Seeds

_NOBODY = 65534
_RECORDS = "../cache/compiled"
_STATISTICS = "../cache/statistics"
_AS_NEW = "as if it were not there"


def cases(seeds: Seeds) -> Iterator[Case]:
    """A file that a hostile record calls built here is refused; with hostile statistics, the training makes its own."""
    raw = compiled.Compiled(seeds).edited()
    digest, good = hashlib.sha256(raw).hexdigest(), {"built": True, "verified": []}
    for name, files in _entries(f"{_RECORDS}/{digest}.json", _entry(digest, good)).items():
        yield Case(
            name=f"record: {name}",
            commands=[compiled.STRICT],
            files={compiled.NAME: raw, **files},
            place="--allow-native",
        )
    contents: dict[str, Any] = {
        "of another file": {"key": "0" * 64}, "a number": {"content": {"built": 1, "verified": []}}, "a text": {"content": "built"},
        "null": {"content": None}, "more": {"content": {"built": True, "verified": [], "run": TOUCH}}, "of machines": {"content": {"built": True, "verified": [1]}},
        "another digest": {"sha256": "0" * 64}, "a digest of null": {"sha256": None},
    }  # fmt: skip
    for name, changes in contents.items():
        entry = json.dumps({**json.loads(_entry(digest, changes.get("content", good))), **changes})
        files = {compiled.NAME: raw, f"{_RECORDS}/{digest}.json": in_mode(entry, 0o600)}
        yield Case(name=f"record: {name}", commands=[compiled.STRICT], files=files, place="--allow-native")
    yield from _statistics(seeds)


def _entry(key: str, content: Any) -> str:
    """A record as the cache writes it, whose digest fits."""
    from equipot.caches import _digest

    return json.dumps({"content": content, "key": key, "sha256": _digest(key, content)})


def _entries(path: str, good: str) -> dict[str, dict[str, Content]]:
    """A record at a path that nobody may believe: another owner, other rights, no file, damage."""
    above = path.rpartition("/")[0]
    return {
        "of another user": {path: owned_by(good, _NOBODY)},
        "that a group writes": {path: in_mode(good, 0o660)},
        "that all write": {path: in_mode(good, 0o666)},
        "in a folder that all write": {
            path: in_mode(good, 0o600),
            f"{above}/open": lambda made: made.parent.chmod(0o777),
        },
        "a link": {path: link_to(f"../../{WORK}/{valid.DATA}"), "record.json": good},
        "a link to a record": {path: link_to(f"../../{WORK}/record.json"), "record.json": good},
        "a link to a device": {path: link_to("/dev/zero")},
        "a pipe": {path: pipe},
        "a folder": {path: folder},
        "5 GB": {path: sparse(5 * 1024**3, good.encode())},
        "empty": {path: ""},
        "half": {path: in_mode(good[: len(good) // 2], 0o600)},
        "deep": {path: in_mode("[" * 100_000, 0o600)},
        "a folder that is a file": {above: "x"},
        "a folder that is a pipe": {above: pipe},
    }


def _statistics(seeds: Seeds) -> Iterator[Case]:
    """The name of the entry is a digest of the data; it is found by a training without hostile files."""
    entry = seeds.statistics()
    commands = [["train", valid.YAML, "--output", "run", "+data.cache_dir=../cache"]]
    for name, files in _entries(f"{_STATISTICS}/{entry.name}", entry.read_text()).items():
        yield config_case(f"statistics: {name}", seeds.config(), commands=commands, files=files, harmless=_AS_NEW)
