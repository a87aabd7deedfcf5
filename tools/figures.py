"""Measure how well the code is kept: circular imports, lengths, comments, docstrings.

`python tools/figures.py` measures this tree, `python tools/figures.py OTHER` a tree in another folder, such as a
worktree of an older commit. It only reads files and does not import the tree.
"""

from __future__ import annotations

import argparse
import ast
import io
import itertools
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

import tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
LONG = 40
"""Functions with more lines of code than this are counted as long."""


def main() -> int:
    """Print the figures, one on each line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", nargs="?", type=Path, default=ROOT, help="root of the tree, default this one")
    tree = parser.parse_args().tree.resolve()
    for name, value in figures(tree).items():
        print(f"{name:42} {value}")
    return 0


def figures(tree: Path) -> dict[str, object]:
    """All figures by name."""
    core, settings = tree / "core/src/equipot", (tree / "pyproject.toml").read_text(encoding="utf-8")
    kit = [path for path in (tree / "plugins/testing/src", core / "testing", core / "scaffold") if path.is_dir()]
    in_kit = {path for folder in kit for path in folder.rglob("*.py")}
    sources = [path for path in (tree / "plugins").glob("[!_]*/src/**/*.py") if path not in in_kit]
    parts = {
        "core": sorted(set(core.rglob("*.py")) - in_kit),
        "kit and scaffold": sorted(path for path in in_kit if "templates" not in path.parts),
        "plugins": sorted(sources),
        "tests": sorted(_tests(tree)),
    }
    code = [*parts["core"], *parts["kit and scaffold"], *parts["plugins"]]
    graph = imports(core)
    kinds = circles(graph)
    packages = circles(by_room(graph))
    upward = list(upward_imports(graph))
    lengths = [length for path in code for length in function_lengths(path)]
    documented, all_names = (sum(column) for column in zip(*map(docstrings, code), strict=True))
    return {
        "circles of files in core": len(kinds),
        **{f"  circle {number}": ", ".join(one) for number, one in enumerate(kinds, start=1)},
        "circles of packages in core": len(packages),
        **{f"  packages {number}": ", ".join(one) for number, one in enumerate(packages, start=1)},
        "imports that run upward in core": len(upward),
        "import contracts": settings.count("[[tool.importlinter.contracts]]"),
        **{f"lines of {part}": sum(map(lines, files)) for part, files in parts.items()},
        f"functions over {LONG} lines of code": sum(length > LONG for length in lengths),
        "longest function": max(lengths),
        "comments in core, kit and plugins": sum(map(comments, code)),
        "docstrings": f"{documented} of {all_names} ({100 * documented / all_names:.1f} %)",
    }


def _tests(tree: Path) -> Iterator[Path]:
    folders = [tree / "core/tests", tree / "tests", *(tree / "plugins").glob("[!_]*/tests")]
    yield from itertools.chain.from_iterable(folder.rglob("*.py") for folder in folders)


def lines(path: Path) -> int:
    """Number of lines of a file, including empty ones."""
    return len(path.read_text(encoding="utf-8").splitlines())


def comments(path: Path) -> int:
    """Number of comments for people; directives for tools do not count."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    texts = [token.string for token in tokens if token.type == tokenize.COMMENT]
    return sum(not text.lstrip("# ").startswith(("type:", "ruff:", "fmt:", "pragma:")) for text in texts) - sum(
        text.lstrip("# ").startswith("noqa") and " - " not in text for text in texts
    )


def function_lengths(path: Path) -> Iterator[int]:
    """Lines of code of each function, without docstring, empty lines and comments, but with nested functions."""
    text = path.read_text(encoding="utf-8")
    rows = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            skipped = set(range(first.lineno, (first.end_lineno or 0) + 1)) if is_text else set()
            inside = range(node.lineno, (node.end_lineno or 0) + 1)
            yield sum(
                bool(rows[row - 1].strip()) and rows[row - 1].strip()[0] != "#" for row in inside if row not in skipped
            )


def docstrings(path: Path) -> tuple[int, int]:
    """Number of public modules, classes and functions with a docstring, and number of all."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [one for one in ast.walk(tree) if isinstance(one, kinds) and not getattr(one, "name", "").startswith("_")]
    return sum(ast.get_docstring(one) is not None for one in found), len(found)


# ------------------------------------------------------------------------ imports


def imports(package: Path) -> dict[str, set[str]]:
    """The modules of the same package that each module imports, also lazily; imports for type checking do not count."""
    modules = {module_name(path, package): path for path in package.rglob("*.py")}
    return {name: set(imported(path, modules)) - {name} for name, path in modules.items()}


def module_name(path: Path, package: Path) -> str:
    """Dotted name of a file's module in a package."""
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, modules: dict[str, Path]) -> Iterator[str]:
    """The modules that a file imports, or imports names from; imports for type checking do not count."""
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
            continue
        pending += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            base = "equipot" if node.level else node.module or ""
            for alias in node.names:
                target = resolved(f"{base}.{alias.name}", modules)
                if target is not None:
                    yield target


def resolved(path: str, modules: dict[str, Path]) -> str | None:
    """The module that defines the object at a dotted path; for a lazy package, its stub says which module that is."""
    if path in modules:
        return path
    package, _, name = path.rpartition(".")
    if package not in modules:
        return None
    stub = modules[package].with_suffix(".pyi")
    if modules[package].name == "__init__.py" and stub.is_file():
        for node in ast.parse(stub.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and node.level and any(one.name == name for one in node.names):
                return f"{package}.{node.module}" if node.module else package
    return package


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, directly or through others (strongly connected components)."""
    reach = {name: _reachable(graph, name) for name in graph}
    groups = {frozenset({name, *(one for one in reach[name] if name in reach.get(one, ()))}) for name in graph}
    return sorted(sorted(group) for group in groups if len(group) > 1)


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    pending = [*graph[start]]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += graph.get(name, ())
    return found


def by_room(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The same graph for the packages and modules directly below ``equipot``."""
    rooms: dict[str, set[str]] = {}
    for name, targets in graph.items():
        if name != "equipot":
            rooms.setdefault(room(name), set()).update(room(one) for one in targets if one != "equipot")
    return {name: targets - {name} for name, targets in rooms.items()}


def room(module: str) -> str:
    """The part of core that a module belongs to."""
    return module.split(".")[1] if "." in module else module


def floors() -> list[list[str]]:
    """Rooms of core on each floor, from the top to the bottom, as the import contract ``staircase`` has them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    staircase = next(one for one in contracts if one["id"] == "staircase")
    return [[name.strip(" ()") for name in layer.split(":")] for layer in staircase["layers"]]


def upward_imports(graph: dict[str, set[str]]) -> Iterator[tuple[str, str]]:
    """Imports from a lower to a higher floor; what the contract does not name counts as the lowest."""
    order = floors()
    level = {name: number for number, names in enumerate(order) for name in names}
    for name, targets in graph.items():
        here = level.get(room(name), len(order) if "." in name else 0)
        yield from ((name, target) for target in targets if level.get(room(target), len(order)) < here)


if __name__ == "__main__":
    sys.exit(main())
