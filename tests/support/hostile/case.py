"""One hostile input, and the place where it is tried."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Content = bytes | str | Callable[[Path], object]
"""Contents of a file, or a function that makes something at its path (a pipe, a link, a folder)."""

WORK, CACHE, TEMPORARY, HOME, OUTSIDE = "work", "cache", "tmp", "home", "outside"
"""Folders of a sandbox: where the command runs, the three it may write to, and two that nobody may touch."""

CANARY = "../outside/CANARY"
"""What a payload writes, seen from the folder in which the command runs."""

TOUCH = f"touch {CANARY}"
"""What a payload runs."""

SECRET_NAME, SECRET = "EQUIPOT_HOSTILE_SECRET", "c0ffee-this-is-nobodys-business"
"""An environment variable that must not appear in anything that a run writes."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A hostile input, and the commands that read it."""

    name: str
    """Unique in its family."""

    commands: Sequence[Sequence[str]]
    """Arguments of ``equipot``; the next command runs if the one before succeeded."""

    files: Mapping[str, Content] = field(default_factory=dict)
    """What to make, by path from the folder in which the commands run; ``../home/`` and the like are allowed."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """Further environment variables."""

    harmless: str = ""
    """Why it may be accepted; without it, the input must be refused."""

    place: str = ""
    """What the refusal must mention."""

    allowed: Sequence[str] = ()
    """Beginnings of events that belong to the case itself, for example a compiler that the user asked for."""

    family: str = ""
    """Set by ``families.cases``."""

    def make(self, sandbox: Path, common: Mapping[str, Content]) -> None:
        """Make the sandbox with all files of the case, and those ``common`` to all."""
        for folder in (WORK, CACHE, TEMPORARY, HOME, OUTSIDE):
            (sandbox / folder).mkdir(parents=True)
        (sandbox / HOME / "victim.txt").write_text("keep\n")
        (sandbox / OUTSIDE / "victim.txt").write_text("keep\n")
        for name, content in {**common, **self.files}.items():
            path = Path(os.path.normpath(sandbox / WORK / name))
            path.parent.mkdir(parents=True, exist_ok=True)
            if callable(content):
                content(path)
            elif isinstance(content, str):
                path.write_text(content, encoding="utf-8")
            else:
                path.write_bytes(content)


def pipe(path: Path) -> None:
    """Make a pipe that nobody writes to."""
    os.mkfifo(path)


def folder(path: Path) -> None:
    """Make an empty folder."""
    path.mkdir()


def link_to(target: str) -> Content:
    """Make a symbolic link."""
    return lambda path: path.symlink_to(target)


def sparse(size: int, start: bytes = b"") -> Content:
    """Make a file of a size that takes no room on disk."""

    def made(path: Path) -> None:
        path.write_bytes(start)
        os.truncate(path, size)

    return made


def in_mode(content: bytes | str, mode: int) -> Content:
    """Make a file with these permissions."""

    def made(path: Path) -> None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)

    return made


def owned_by(content: bytes | str, user: int, mode: int = 0o644) -> Content:
    """Make a file of another user, where root may do so."""

    def made(path: Path) -> None:
        in_mode(content, mode)(path)
        os.chown(path, user, user)

    return made
