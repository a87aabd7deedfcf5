"""Commands, names and code shown in READMEs and docs exist and work as shown."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from equipot._cli.config_arguments import split_arguments
from equipot._cli.main import equipot, main
from equipot.config import resolve_target
from equipot.describe import describe_options

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    path
    for pattern in ("docs/**/*.md", "*.md", "core/*.md", "plugins/[!_]*/*.md", "examples/**/*.md")
    for path in sorted(ROOT.glob(pattern))
    if path.name != "CHANGELOG.md" and "_build" not in path.parts
]
SCRIPTS = {"equipot-train": "train", "equipot-compile": "compile", "equipot-package": "package"}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[list[str]]:
    """Words of every command of ours in the page's shell blocks."""
    found = []
    for block in (*blocks(page, "bash"), *blocks(page, "console")):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ ").split(" > ")[0].split(" | ")[0], comments=True)
            if words and words[0].split("-")[0] == "equipot":
                found.append(words)
    return found


SHOWN = [(page, words) for page in PAGES for words in commands(page)]


@pytest.mark.parametrize(
    ("page", "words"), SHOWN, ids=[f"{page.stem}: {' '.join(words)}"[:90] for page, words in SHOWN]
)
def test_command_parses(page: Path, words: list[str]) -> None:
    if words[0] == "equipot" and (len(words) == 1 or words[1].startswith("-")):
        return
    words = ["equipot", SCRIPTS[words[0]], *words[1:]] if words[0] in SCRIPTS else words
    parse(equipot, words)


def parse(command: click.Command, words: list[str]) -> None:
    """Parse a line as click does before it runs the command.

    Raises:
        click.UsageError: If the command does not take it.
    """
    context = command.make_context(words[0], words[1:])
    rest = [*context._protected_args, *context.args]
    while isinstance(context.command, click.Group) and rest:
        name, found, rest = context.command.resolve_command(context, rest)
        assert found is not None
        context = found.make_context(name, rest, parent=context)
        rest = [*context._protected_args, *context.args]
    if "arguments" in context.params:  # what is meant for Hydra
        split_arguments(context, context.params["arguments"])


def test_every_page_is_in_the_contents() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in (page for page in PAGES if (ROOT / "docs") in page.parents):
        where = page.relative_to(ROOT / "docs")
        listed = str(where.with_suffix("")) in index or f"{where.parts[0]}/*" in index
        assert listed or where.name == "index.md", f"{where} is on no page's list"


# A name of ours, as in `equipot.data.ASEDataModule`, but not a part of `model.equipot.zip`.
NAME = re.compile(r"(?<![\w./-])equipot(?:_[a-z0-9]+)*(?:\.[A-Za-z_]\w*)+")

INVENTED = re.compile(
    r"equipot\.plugins\.v\d+|equipot\.schema\.json"  # groups of entry points, and a file
    r"|equipot_(?:morse|lennard_jones)\..*|.*\.My[A-Z]\w*|.*\.Morse"  # what readers write themselves
    r"|.*\.NAME"
)
"""Dotted names on pages that name nothing installed."""


def names(page: Path) -> list[str]:
    """Dotted names of ours on a page."""
    found = {match[0] for match in NAME.finditer(page.read_text(encoding="utf-8"))}
    return sorted(name for name in found if not INVENTED.fullmatch(name))


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_names_exist(page: Path) -> None:
    missing = [name for name in names(page) if not exists(name)]
    assert not missing, f"{page.relative_to(ROOT)} names what does not exist: {', '.join(missing)}"


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    found = importlib.import_module(parts[0])
    for end, part in enumerate(parts[1:], 2):
        try:
            found = getattr(found, part) if hasattr(found, part) else importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            # an option: the field of a dataclass without a default is no attribute of its class
            return end == len(parts) and part in getattr(found, "__annotations__", {})
    return True


PLACE = re.compile(r"`(?:python )?((?:\.ci|benchmarks|changelog\.d|core|docs|examples|plugins|tests|tools)/[\w./-]+)")


def relative_links(page: Path) -> list[str]:
    """Targets of links to files, without anchors."""
    found = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    return [target for target in found if not target.startswith("/")]


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_files_exist(page: Path) -> None:
    places = {place for place in PLACE.findall(page.read_text(encoding="utf-8")) if not place.startswith("docs/_build")}
    missing = [place for place in places if not (ROOT / place).exists() and not (page.parent / place).exists()]
    missing += [link for link in relative_links(page) if not (page.parent / link).exists()]
    assert not missing, f"{page.relative_to(ROOT)} names what does not exist: {', '.join(missing)}"


def targets(node: object) -> Iterator[dict[str, Any]]:
    """Every mapping with a `_target_` of ours in a config."""
    if isinstance(node, dict) and str(node.get("_target_", "")).startswith("equipot"):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from targets(child)


FRAGMENTS = [
    (page, found)
    for page in PAGES
    for block in blocks(page, "yaml")
    for found in targets(yaml.safe_load(textwrap.dedent(block)))
    if not INVENTED.fullmatch(found["_target_"])
]


@pytest.mark.parametrize(
    ("page", "found"), FRAGMENTS, ids=[f"{page.stem}: {found['_target_']}" for page, found in FRAGMENTS]
)
def test_options_exist(page: Path, found: dict[str, Any]) -> None:
    """Pieces of configs on pages write options that their target has."""
    known = {option.name for option in describe_options(resolve_target(found["_target_"], "page"))}
    unknown = found.keys() - known - {"_target_", "_partial_"}
    assert not unknown, f"{page.relative_to(ROOT)}: {found['_target_']} has no {', '.join(sorted(unknown))}"


def readme_config() -> str:
    """The config that the README shows."""
    (config,) = blocks(ROOT / "README.md", "yaml")
    return config


def own_data_config() -> str:
    return next(block for block in blocks(ROOT / "docs/how-to/own-data.md", "yaml") if "model:" in block)


def short_config() -> str:
    return next(block for block in blocks(ROOT / "docs/how-to/train.md", "yaml") if block.startswith("data:"))


def train_page_config() -> str:
    return next(block for block in blocks(ROOT / "docs/how-to/train.md", "yaml") if block.startswith("run:"))


@pytest.mark.parametrize("config", [readme_config, own_data_config, short_config, train_page_config])
def test_shown_config_is_valid(config: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text(config(), encoding="utf-8")
    code = main(["check", str(tmp_path / "config.yaml")])
    assert code == 0, capsys.readouterr().err


@pytest.mark.slow
def test_the_config_of_the_readme_trains(tmp_path: Path) -> None:
    """Twelve lines at most, without anything added but the number of epochs."""
    assert len(readme_config().strip().splitlines()) <= 12
    (tmp_path / "config.yaml").write_text(readme_config(), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "equipot._cli.main", "train", str(tmp_path / "config.yaml"), "trainer.max_epochs=1",
         "data.split_dataset.train=5", "data.split_dataset.val=2", "data.split_dataset.test=2",
         "--output", str(tmp_path / "run")],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert (tmp_path / "run" / "best.ckpt").is_file()
    assert set(json.loads((tmp_path / "run/results.json").read_text())) >= {"train", "val", "test"}


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/tutorials/quick-start.md"])
def test_commands_run(page: str, tmp_path: Path) -> None:
    """Every command and Python block of the two first pages, in order, with two epochs or half a minute; not LAMMPS."""
    (tmp_path / "my_frames.extxyz").symlink_to(ROOT / "examples/data/ethanol_pbe.extxyz")
    shorter = {"equipot-train": ["trainer.max_epochs=2"], "equipot fit": ["--minutes", "0.5"]}
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for words in commands(ROOT / page):
        if "lammps" in words:  # builds a pair style and compiles a model: the plugin's own tests run these
            continue
        script = Path(sys.executable).with_name(words[0])
        extra = shorter.get(words[0], shorter.get(" ".join(words[:2]), []))
        done = subprocess.run(
            [str(script), *words[1:], *extra],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    for code in blocks(ROOT / page, "python"):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"


EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


@pytest.mark.slow
@pytest.mark.parametrize("config", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_example_trains_two_steps(config: Path, tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("equipot-train")
    overrides = ["trainer.max_epochs=1", "+trainer.limit_train_batches=2", "+trainer.limit_val_batches=1"]
    done = subprocess.run(
        [str(script), str(config), *overrides, "--output", str(tmp_path / "run")],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert (tmp_path / "run" / "best.ckpt").is_file()
