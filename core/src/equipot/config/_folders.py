"""Where a config may write: below the working folder or the folder of the run, or where the command line says.

A config that somebody sends must not reach the rest of the disk, nor another machine. What the user types is the user's
own decision.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from equipot.containers import leaves
from equipot.errors import printable, problem

KEYS = frozenset(
    {"cache_dir", "default_root_dir", "dirpath", "log_dir", "out_file", "output_dir", "root_dir", "save_dir"}
)
"""Options that name what is written, in all sections. In the trainer's every text counts: loggers, callbacks and
profilers have many names for files, folders and addresses."""


_LONGEST = 1000
"""Characters of a path; libraries make the folders of longer ones by recursion."""


class Folders:
    """The folders that a config may write into.

    Args:
        given: Texts of the command line: folders below which everything is allowed, and addresses.
        run: Folder of the run, if it is known.
    """

    def __init__(self, given: Iterable[str] = (), run: str | None = None) -> None:
        self.given = frozenset(given)
        self._roots = [_real(text) for text in (".", run, *self.given) if text]

    def problems(self, where: str, text: str) -> Iterator[str]:
        """Find out whether a text names something elsewhere.

        Args:
            where: Its dotted path in the config.
            text: A folder or file, or any other text.
        """
        if text in self.given:
            return
        hint = f"give it on the command line if you trust it: {where}={text}"
        if "://" in text or text.startswith(("file:", "sqlite:")):
            yield problem(where, "names an address", got=text, hint=hint)
        elif len(text) > _LONGEST:
            yield problem(where, f"must have at most {_LONGEST} characters", got=text)
        elif printable(text) != text or "\n" in text:
            yield problem(where, "must not contain control characters", got=text)
        elif ".." in Path(text).parts or not any(_real(text).is_relative_to(root) for root in self._roots):
            what = "names a place outside of the working folder and the folder of the run"
            yield problem(where, what, got=text, hint=hint)

    def config_problems(self, resolved: Mapping[str, Any]) -> Iterator[str]:
        """Find all places elsewhere in a resolved config.

        Args:
            resolved: In plain containers.
        """
        for path, value in leaves(resolved):
            keys = path.split(".")
            named = any(key in KEYS for key in keys[1:])
            if isinstance(value, str) and keys[-1] != "_target_" and (named or keys[0] == "trainer"):
                yield from self.problems(path, value)


def _real(text: str) -> Path:
    """The absolute path that libraries would make of a text: with variables, home folders and links followed."""
    try:
        return Path(os.path.realpath(Path(os.path.expandvars(text)).expanduser()))
    except (OSError, ValueError, RuntimeError):  # too long, a zero byte, ~ of an unknown user
        return Path(os.sep)
