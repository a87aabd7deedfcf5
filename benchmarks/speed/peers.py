"""Environments of the peers, made on first use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REQUIREMENTS: dict[str, list[str]] = {
    "nequip": ["torch==2.13.0", "nequip==0.19.1", "nequip-allegro==0.8.3"],
    "mace": ["torch==2.13.0", "mace-torch"],
    "sevenn": ["torch==2.13.0", "sevenn"],
}
"""What each needs; torch is this project's version, so that both sides have the same one."""


def peer_python(work: Path, peer: str = "nequip") -> str:
    """Interpreter of the peer's environment below ``work``, made if it is not there."""
    folder = work / f"venv_{peer}"
    python = folder / "bin" / "python"
    if not (folder / ".made").exists():
        print(f"making an environment with {', '.join(REQUIREMENTS[peer])} in {folder}")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS[peer]], check=True)
        (folder / ".made").touch()
    return str(python)
