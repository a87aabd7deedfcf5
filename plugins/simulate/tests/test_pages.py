"""What the pages show is run: the commands of one, and the Python of the other."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from ase.io import read, write

from equipot_test_support import ROOT

PAGES = ROOT / "docs" / "how-to"


def blocks(page, language):
    text = (PAGES / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture
def shown(place, make_crystal):
    """The files that the pages name."""
    shutil.copy(place.model, "model.equipot.zip")
    write("cu.extxyz", make_crystal(rattle=0.0))
    return place


@pytest.mark.slow
def test_commands_of_simulations(shown, capfd):
    from equipot._cli.main import main

    lines = [line for block in blocks("simulate.md", "bash") for line in block.splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if "structures.extxyz" not in line]
    assert {one[0] for one in commands} == {"md", "relax", "phonons", "eos", "elastic"}
    for words in commands:
        assert main(words) == 0, (words, capfd.readouterr().err)
    for name in ("cu_md", "nve", "hot", "pressed", "cu_relax", "relaxed", "cu_phonons", "cu_eos", "cu_elastic"):
        assert len(list(Path(name).glob("*.png"))) == 1
    assert len(read("pressed/trajectory.extxyz", ":")) == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(("index", "needed"), [(0, "phonopy"), (1, "matcalc")])
def test_python_with_phonopy_and_matcalc(shown, index, needed, capfd):
    pytest.importorskip(needed, reason=f"needs {needed}")
    code = blocks("phonopy-matcalc.md", "python")[index]
    names = {}
    exec(compile(code, f"phonopy-matcalc.md, block {index}", "exec"), names)  # noqa: S102 - our own page
    if needed == "phonopy":
        capacity = names["phonons"].thermal_properties.heat_capacity
        assert capacity[-1] == pytest.approx(4 * 3 * 8.314, rel=0.1)
        return
    bulk = names["found"]["bulk_modulus_vrh"]
    found = names["equation"].calc(names["relaxed"]["final_structure"])["bulk_modulus_bm"]
    assert found == pytest.approx(bulk, rel=0.1)
    assert capfd.readouterr().out.count("\n") >= 3
