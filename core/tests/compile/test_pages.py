"""Every command and every Python example of the pages on packages, compiling and ASE, run in order."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ase.build import molecule
from ase.io import write

PAGES = Path(__file__).parents[3] / "docs" / "how-to"


def blocks(page):
    """Language and text of each code block."""
    return re.findall(
        r"^```(bash|python)\n(.*?)^```", (PAGES / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def with_labels(atoms, package_file):
    """The structure with energy, forces and stress under ASE's keys and under others."""
    from equipot.ase import EquipotCalculator

    atoms.calc = EquipotCalculator(package_file)
    atoms.info["REF_energy"] = atoms.get_potential_energy()
    atoms.arrays["REF_forces"] = atoms.get_forces()
    atoms.info["virial"] = -atoms.get_stress(voigt=False) * atoms.get_volume()
    return atoms


@pytest.mark.slow
def test_the_pages(tmp_path, make_model, package_file):
    from equipot.artifacts._checkpoint import checkpoint_record

    for name, derivatives in (("model", True), ("energy_only", False)):
        model = make_model(do_derivatives=derivatives)
        state = {f"model.{key}": value for key, value in model.state_dict().items()}
        torch.save({"state_dict": state, "equipot": checkpoint_record(model, "raw", {}, {})}, tmp_path / f"{name}.ckpt")
    write(tmp_path / "data.extxyz", molecule("CH3OH"))
    for name in ("test", "surfaces"):
        write(tmp_path / f"{name}.extxyz", with_labels(molecule("CH3OH", cell=[9.0] * 3, pbc=True), package_file))
    run_page = 0
    for page in ("package.md", "ase.md", "compile.md", "evaluate.md"):
        for language, text in blocks(page):
            commands = (
                [[sys.executable, "-c", text]] if language == "python" else list(map(shlex.split, text.splitlines()))
            )
            for command in commands:
                if command[:2] == ["equipot-compile", "energy_only.ckpt"]:
                    continue  # what the fixture of test_compiled.py runs, word by word
                if language == "bash":
                    command[0] = str(Path(sys.executable).with_name(command[0]))
                done = subprocess.run(
                    command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, f"{page}: {command}\n{done.stderr}"
                run_page += 1
    assert run_page >= 16
    assert (tmp_path / "results" / "parity.png").is_file()
