"""``equipot plugins index``."""

# ruff: noqa: T201 (a command prints)

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from equipot import __version__, files
from equipot.errors import ArtifactError, ConfigError, printable, problem
from equipot_testing import KIT_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = 1
_MINUTES = 30


@click.group
def command() -> None:
    """Make an index of plugins: what each declares, and whether it passes the conformance kit."""


@command.command(epilog="\b\nequipot plugins index build --from dist --check --output site")
@click.option(
    "--from",
    "sources",
    metavar="WHEELS",
    multiple=True,
    required=True,
    type=click.Path(),
    help="A wheel, or a folder with wheels. May be repeated.",
)
@click.option("--output", metavar="DIR", default="index", type=click.Path(), help="Folder to write (default: index).")
@click.option("--check", is_flag=True, help="Install each wheel in a temporary folder and run the kit: runs its code.")
def build(*, sources: tuple[str, ...], output: str, check: bool) -> int:
    """Write index.html and index.json from wheels of plugins.

    Wheels are only read: metadata, entry points and the text of their declarations. With --check, the kit is run on
    each; its verdict counts for the installed version of equipot. Verdicts that index.json has for the same wheels and
    other versions are kept, so that a run in each environment fills a table. The exit code is 1 if a law is broken or a
    file cannot be read.
    """
    from equipot_testing._index_page import page

    folder = Path(output)
    before = _before(folder / "index.json")
    index = index_of(list(_wheels(sources)), before, check=check)
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(folder / "index.json", index)
    with files.atomic(folder / "index.html") as temporary:
        temporary.write_text(page(index), encoding="utf-8")
    for one in index["plugins"]:
        verdict = one["verdicts"].get(__version__, {"message": "not checked"})["message"]
        print(printable(f"{one['distribution']} {one['version']}: {len(one['declares'])} declarations; {verdict}"))
    for one in index["problems"]:
        print(printable(f"not listed: {one['wheel']}: {one['reason']}"))
    print(f"wrote {folder / 'index.html'} and index.json")
    broken = any(one["verdicts"].get(__version__, {}).get("broken") for one in index["plugins"])
    return 1 if broken or index["problems"] else 0


def index_of(wheels: Iterable[Path], before: dict[str, dict[str, Any]], *, check: bool) -> dict[str, Any]:
    """The contents of ``index.json``.

    Args:
        wheels: Files; those without a plugin are left out.
        before: Verdicts of an earlier index by the digest of the wheel.
        check: Whether to run the kit.
    """
    from equipot_testing._index_wheels import read_wheel

    plugins, problems = [], []
    for path in wheels:
        try:
            facts = read_wheel(path)
        except ArtifactError as error:
            problems.append({"wheel": path.name, "reason": str(error)})
            continue
        if facts is not None:
            fresh = {__version__: verdict_of(path, facts["ids"])} if check else {}
            plugins.append({**facts, "verdicts": {**before.get(facts["sha256"], {}), **fresh}})
    plugins.sort(key=lambda one: (one["distribution"].lower(), one["version"]))
    made = {"equipot": __version__, "kit": KIT_VERSION}
    return {"format": FORMAT, "made_with": made, "plugins": plugins, "problems": problems}


def verdict_of(wheel: Path, ids: list[str]) -> dict[str, Any]:
    """Install a wheel, without its requirements, in a temporary folder, and run the kit on its plugins there.

    Args:
        wheel: The file.
        ids: Its plugins.
    """
    verdicts: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder, "site")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(site)]
        path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH", "")])])
        environment = {**os.environ, "PYTHONPATH": path, "EQUIPOT_CACHE_DIR": str(Path(folder, "cache"))}
        calls = [[*pip, str(wheel.resolve())]]
        checking = [sys.executable, "-m", "equipot._cli.main", "plugins", "check"]
        calls += [[*checking, one, "--json", str(Path(folder, f"{number}.json"))] for number, one in enumerate(ids)]
        for call in calls:
            done = _run(call, folder, environment)
            if done is not None:
                verdicts.append({"passed": False, "message": f"not checked: {done}", "broken": []})
                break
        made = sorted(Path(folder).glob("*.json"))
        verdicts += [_shortened(json.loads(one.read_text(encoding="utf-8"))) for one in made]
    return {
        "kit": KIT_VERSION,
        "passed": all(one["passed"] for one in verdicts),
        "message": "; ".join(one["message"] for one in verdicts),
        "broken": [name for one in verdicts for name in one["broken"]],
    }


def _run(call: list[str], folder: str, environment: dict[str, str]) -> str | None:
    """Run a program; its last line of messages if it cannot do its work, else None. Broken laws are an answer."""
    try:
        done = subprocess.run(  # noqa: S603 - asked for by --check
            call, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60 * _MINUTES
        )
    except subprocess.TimeoutExpired:
        return f"it took more than {_MINUTES} minutes"
    if done.returncode in (0, 1) and "check" in call:
        return None
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return last if done.returncode else None


def _shortened(report: dict[str, Any]) -> dict[str, Any]:
    broken = [f"{one['name']}: {name}" for one in report["components"] for name in one["broken"]]
    return {"passed": report["passed"], "message": report["badge"]["message"], "broken": broken}


def _wheels(sources: Iterable[str]) -> Iterable[Path]:
    for source in sources:
        path = Path(source)
        found = sorted(path.glob("*.whl")) if path.is_dir() else [path] if path.is_file() else []
        if not found:
            hint = "name a wheel, or a folder with wheels; 'python -m build' makes one"
            raise ConfigError(problem("plugins index build: --from", "has no wheel", got=source, hint=hint))
        yield from found


def _before(path: Path) -> dict[str, dict[str, Any]]:
    """Verdicts of an earlier index by the digest of the wheel."""
    if not path.is_file():
        return {}
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        if index["format"] == FORMAT:
            return {one["sha256"]: dict(one["verdicts"]) for one in index["plugins"]}
    except (ValueError, KeyError, TypeError, OSError, RecursionError):
        pass
    raise ArtifactError(problem(str(path), "is not an index of this format", hint="choose another --output"))
