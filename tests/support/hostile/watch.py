"""Watch a process from inside by an audit hook, and its surroundings by comparing them before and after."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

PROCESSES = (
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.startfile",
    "subprocess.Popen", "pty.spawn",
)  # fmt: skip
NETWORK = (
    "socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname",
    "urllib.Request", "smtplib.connect", "http.client.connect", "ftplib.connect",
)  # fmt: skip
CHANGES = {
    "os.remove": 1, "os.rmdir": 1, "os.truncate": 1, "os.chmod": 1, "os.chown": 1, "os.mkdir": 1, "os.utime": 1,
    "os.setxattr": 1, "os.removexattr": 1, "os.rename": 2, "os.link": 2, "os.symlink": 2, "shutil.rmtree": 1,
    "shutil.move": 2, "shutil.copyfile": 2, "shutil.copytree": 2, "shutil.chown": 1, "sqlite3.connect": 1,
}  # fmt: skip
"""Events that change files, and how many of their arguments are paths."""

_SOURCES_ONLY = ("shutil.copyfile", "shutil.copytree", "os.link", "os.symlink")
"""Events whose first path is only read."""

_ENTRIES = ("os.remove", "os.rename", "os.link", "os.symlink", "shutil.move")
"""Events that change a folder's entry, and not what a link of that name leads to."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_OWN = str(Path(__file__).parent)
_PLAIN = ("/dev/null", "/dev/tty")
_BIG = 64 * 1024**2


class Watch:
    """An audit hook that writes a line for each event that a hostile input must not cause.

    Args:
        log: Descriptor of the file of events; written at once, so that they survive a killed process.
        sandbox: Folder of the case.
        writable: Folders below it that may be changed.
    """

    def __init__(self, log: int, sandbox: Path, writable: tuple[str, ...]) -> None:
        self._log, self._sandbox = log, str(sandbox)
        self._writable = tuple(f"{sandbox}/{name}/" for name in writable)
        self._busy = False

    def start(self) -> None:
        """Watch from now on; a hook cannot be removed again."""
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            self._judge(event, arguments)
        finally:
            self._busy = False

    def _judge(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in PROCESSES:
            self._note("process", event, arguments)
        elif event in NETWORK:
            self._note("network", event, arguments)
        elif event in CHANGES:
            paths = arguments[: CHANGES[event]]
            for path in paths[1:] if event in _SOURCES_ONLY else paths:
                self._changed(event, path, follow=event not in _ENTRIES)
        elif event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING:
                self._changed("open", path)
        elif event in ("exec", "compile", "ctypes.dlopen", "import"):
            self._code(event, arguments)
        elif event == "pickle.find_class":
            self._note("pickle", event, arguments)

    def _code(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "exec":
            name = getattr(arguments[0], "co_filename", "")
        elif event == "compile":
            name = arguments[1]
        else:
            name = arguments[0 if event == "ctypes.dlopen" else 1]
        text = os.fsdecode(name) if isinstance(name, (str, bytes)) else ""
        if text and os.path.realpath(text).startswith(f"{self._sandbox}/") and os.path.exists(text):
            self._note("code", event, (text,))

    def _changed(self, event: str, path: Any, *, follow: bool = True) -> None:
        if isinstance(path, int):
            return  # a descriptor, whose opening was seen
        try:
            given = os.fsdecode(path)
            above, name = os.path.split(given)
            found = os.path.realpath(given) if follow else os.path.join(os.path.realpath(above), name)
        except (TypeError, ValueError, OSError):
            return
        if found not in _PLAIN and not f"{found}/".startswith(self._writable):
            self._note("write", event, (found,))

    def _note(self, kind: str, event: str, arguments: tuple[Any, ...]) -> None:
        line = json.dumps([kind, event, repr(arguments)[:300], _caller()])
        os.write(self._log, f"{line}\n".encode())


def _caller() -> str:
    """The lines of equipot and its plugins that led here, innermost first."""
    found, frame = [], sys._getframe(3)
    while frame is not None and len(found) < 3:
        name = frame.f_code.co_filename
        if "/equipot" in name and not name.startswith(_OWN):
            found.append(f"{name.rsplit('/src/', 1)[-1]}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(found)


def mapped_code(sandbox: Path) -> list[str]:
    """Native code that this process runs from files in the sandbox."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as lines:
        found = {line.split(maxsplit=5)[5].strip() for line in lines if " r-xp " in line and f" {sandbox}/" in line}
    return sorted(found)


def snapshot(folder: Path, but: tuple[str, ...] = ()) -> dict[str, str]:
    """Kind, permissions, size, time and digest of everything in a folder, by path, without some folders."""
    found, left = {}, [folder]
    while left:
        with os.scandir(left.pop()) as entries:
            for entry in entries:
                path = os.path.relpath(entry.path, folder)
                if path not in but:
                    found[path] = _facts(entry)
                    if entry.is_dir(follow_symlinks=False):
                        left.append(Path(entry.path))
    return found


def _facts(entry: os.DirEntry[str]) -> str:
    facts = entry.stat(follow_symlinks=False)
    text = f"{stat.filemode(facts.st_mode)} {facts.st_uid}"
    if stat.S_ISLNK(facts.st_mode):
        return f"{text} {os.readlink(entry.path)}"
    if not stat.S_ISREG(facts.st_mode):
        return text
    digest = ""
    if facts.st_size < _BIG:
        with open(entry.path, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()[:16]
    return f"{text} {facts.st_size} {facts.st_mtime_ns} {digest}"


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What differs between two snapshots."""
    gone = [f"{path} is gone" for path in before.keys() - after.keys()]
    edited = [f"{path} was changed" for path in before.keys() & after.keys() if before[path] != after[path]]
    return sorted([*gone, *edited, *(f"{path} is new" for path in after.keys() - before.keys())])
