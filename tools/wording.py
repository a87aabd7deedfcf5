"""Count turns of phrase that make our English hard to read, and fail if there are more than a limit.

It looks at the pages of the documentation, READMEs, the changelog with its fragments, and the docstrings, messages and
comments of Python sources. Add to the list below when a reader stumbles; ``--limit`` may only go down.
"""

from __future__ import annotations

import argparse
import re
import sys
import tokenize
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parent.parent

LIMIT = 10
"""How many are allowed. Lower it as the text improves, never raise it."""

_SMALL = "of|in|is|are|at|on|with|for|to|as|by|from|and|or|than|that|if|has|not|but|was|makes|gives|after|before|into"

PHRASES: dict[str, str] = {
    # "there is no plugin" is plain English; "a slab is no crystal" wants to be "is not a crystal"
    "is no X": r"(?<![Tt]here )(?<!where )\b(?:is|are) +no +(?!(?:longer|more|one|less|matter|need)\b)[a-z]+",
    "stands": r"\bstands\b(?! for\b)",
    "whatever": r"\bwhatever\b",
    "beside": r"\bbeside\b",
    "one X a Y": rf"\b(?:one|once|twice)(?: +(?!(?:{_SMALL})\b)[a-z]+)? +an? +(?!(?:time|few|single)\b)[a-z]+",
    "anew": r"\banew\b",
    "told": r"\btold\b",
}
"""What is counted, by its name in the output; line breaks count as spaces."""

TEXTS = (
    "*.md",
    "docs/**/*.md",
    "core/*.md",
    "plugins/*/*.md",
    "examples/**/*.md",
    "changelog.d/*.md",
    "benchmarks/**/*.md",
)
SOURCES = ("core/src/**/*.py", "plugins/[!_]*/src/**/*.py", "examples/**/*.py", "docs/_ext/*.py", "tools/*.py")
TEMPLATES = ("plugins/testing/src/**/*.tmpl",)

_SAID = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


def passages(path: Path) -> Iterator[tuple[int, str]]:
    """First line number and text of every passage of a file that people read."""
    if path.suffix != ".py":
        yield 1, path.read_text(encoding="utf-8")
        return
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type in _SAID:
                yield token.start[0], token.string


def found(text: str) -> Iterator[tuple[str, int, str]]:
    """For each phrase found in a text: its name, the number of lines above it, and the words."""
    flat = re.sub(r"\s", " ", text)
    for name, pattern in PHRASES.items():
        for match in re.finditer(pattern, flat):
            yield name, text.count("\n", 0, match.start()), " ".join(match[0].split())


def files(root: Path) -> list[Path]:
    """All files to look at, except this one and built pages."""
    paths = {path for pattern in (*TEXTS, *SOURCES, *TEMPLATES) for path in root.glob(pattern)}
    return sorted(
        path for path in paths if path != Path(__file__).resolve() and not {"_build", "tests"} & {*path.parts}
    )


def lines_of(paths: Iterable[Path], root: Path) -> Iterator[tuple[str, str]]:
    """For each phrase found in the files: its name, and ``file:line: words``."""
    for path in paths:
        for start, text in passages(path):
            for name, below, words in found(text):
                yield name, f"{path.relative_to(root)}:{start + below}: {words}"


def main() -> int:
    """Print the phrases and their counts; the exit code is 1 if there are more than the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=LIMIT, help=f"how many are allowed, default {LIMIT}")
    parser.add_argument("--quiet", action="store_true", help="print the counts only")
    arguments = parser.parse_args()
    listed = list(lines_of(files(ROOT), ROOT))
    if not arguments.quiet:
        print("\n".join(line for _, line in listed))
    counts = Counter(name for name, _ in listed)
    print(", ".join(f"{name}: {counts[name]}" for name in PHRASES))
    print(f"{len(listed)} in all, {arguments.limit} allowed")
    return int(len(listed) > arguments.limit)


if __name__ == "__main__":
    sys.exit(main())
