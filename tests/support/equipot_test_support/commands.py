"""Commands in this process, in others, and in environments that only have our wheels."""

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path


def equipot(*arguments):
    """Run the command line in this process; it must succeed."""
    from equipot._cli.main import main

    assert main([str(argument) for argument in arguments]) == 0


def run(*command, cwd, expected=0):
    """Output of a command in an environment of its own: nothing of this one's packages or switches."""
    outside = {"PYTHONPATH", "PIP_CONSTRAINT"}
    environment = {k: v for k, v in os.environ.items() if k not in outside and not k.startswith("EQUIPOT_")}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == expected, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def clean_environment(base, wheels, *requirements):
    """``bin`` of a new environment with our wheels; third parties are borrowed from this one, our own are not.

    Args:
        base: An empty folder.
        wheels: Folder with all wheels that the requirements need.
        requirements: What to install.
    """
    borrowed = base / "third_parties"
    borrowed.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not re.match(r"(_|__editable__)*equipot|_?virtualenv|distutils-precedence|pip\b", entry.name):
            (borrowed / entry.name).symlink_to(entry)
    run(sys.executable, "-m", "venv", "--without-pip", base / "env", cwd=base)
    python = base / "env/bin/python"
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=base).strip()
    Path(site, "third_parties.pth").write_text(f"{borrowed}\n", encoding="utf-8")
    install(python, wheels, *requirements, cwd=base)
    return base / "env/bin"


def install(python, wheels, *requirements, cwd):
    """Install wheels from a folder alone into another environment."""
    pip = [sys.executable, "-m", "pip", "--python", python, "--isolated", "install", "--quiet", "--no-index"]
    run(*pip, "--find-links", wheels, *requirements, cwd=cwd)
