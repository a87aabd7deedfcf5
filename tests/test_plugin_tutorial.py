"""The tutorial "Write a plugin in 15 minutes", run as a reader does it: commands, files and outputs in their order."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "tutorials" / "write-a-plugin.md"
BIN = Path(sys.executable).parent


def blocks():
    """Language and text of each block of the page."""
    return re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


class Reader:
    """Does what the page says, in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.site = folder / "site"
        self.outputs = []
        self.compared = []
        paths = [str(self.site), os.environ.get("PYTHONPATH", "")]
        self.environment = {
            **os.environ,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
        }

    def do(self, language, text):
        named = re.match(r"# ([\w./-]+)\n", text)
        if language == "bash":
            for line in text.splitlines():
                self.run(shlex.split(line))
        elif named:
            (self.folder / named[1]).write_text(text.split("\n", 1)[1], encoding="utf-8")
        elif language == "text":
            assert text.strip() in self.outputs[-1]
        else:
            self.compare(text)

    def run(self, words):
        if words[0] == "cd":
            self.folder = self.folder / words[1]
        elif words[:2] == ["pip", "install"]:
            self.install()
        else:
            done = subprocess.run(
                words, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
            )
            self.outputs.append(done.stdout + done.stderr)
            unwritten = words == ["pytest"] and "NotImplementedError" in done.stdout
            assert done.returncode == (1 if unwritten else 0), f"{words}\n{self.outputs[-1]}"

    def install(self):
        """As ``pip install -e`` without touching this environment: metadata next to a link to the source."""
        options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", str(self.site)]
        done = subprocess.run(
            [sys.executable, "-m", "pip", "install", *options, str(self.folder)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        for package in (self.folder / "src").iterdir():
            copy = self.site / package.name
            copy.rename(self.folder.parent / f"{package.name}_copy")
            copy.symlink_to(package)

    def compare(self, text):
        """What the page shows is in a file of the package."""
        files = [path for path in self.folder.rglob("*.*") if path.suffix in (".py", ".toml")]
        same = [path for path in files if text in path.read_text(encoding="utf-8")]
        assert same, f"no file of the package has\n{text}"
        self.compared += same


@pytest.mark.slow
def test_the_tutorial_works_as_shown(tmp_path):
    reader = Reader(tmp_path)
    for language, text in blocks():
        reader.do(language, text)
    assert {path.name for path in reader.compared} == {"pyproject.toml", "plugin.py", "test_conformance.py"}
    pytest_outputs = [output for output in reader.outputs if "passed" in output or "failed" in output]
    assert len(pytest_outputs) == 2
    assert "failed" in pytest_outputs[0]
    assert "failed" not in pytest_outputs[1]
    assert re.fullmatch(r"-?\d+\.\d{3} eV, largest force \d+\.\d{3} eV/Å\n", reader.outputs[-1])


def test_the_tutorial_has_all_its_parts():
    languages = [language for language, _ in blocks()]
    assert {"bash", "toml", "python", "text", "yaml"} == set(languages)
    assert languages.count("bash") >= 5
