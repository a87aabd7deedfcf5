"""``equipot lammps check`` and ``info``, and the entry point that makes LAMMPS know the style."""

import os
import subprocess
import sys

import pytest

from equipot._cli.main import main
from equipot_lammps import LammpsError, _check, _info
from equipot_lammps._wheels import build_folder
from equipot_test_support.engines import record_capability


def test_without_a_build_both_say_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(tmp_path))
    with pytest.raises(LammpsError, match="has not been built; run: equipot lammps build"):
        _check.check(tmp_path / "a.equipot.pt2")
    assert "not built for these versions; run: equipot lammps build" in _info.lines(None)[1]


def test_a_package_is_not_for_lammps(package_file):
    with pytest.raises(LammpsError, match="is not compiled for LAMMPS.*--target lammps"):
        _info.lines(package_file)


def test_the_reach_is_said():
    facts = {"r_max": 4.0, "edge_sets": [("far", 6.0)], "locality": "hops(3)"}
    metadata = {"equipot_hops": "3:0 1:1", "equipot_exchanges": ""}
    assert "3 message layers: " in _info._locality(facts, metadata)
    assert _info._locality(facts, metadata).endswith("ghost shells of 12 Å on several")
    exchanging = _info._locality(facts, {**metadata, "equipot_exchanges": "8"})
    assert exchanging.endswith("ghost shells of 12 Å, or of 6 Å with features exchanged between layers, on several")
    assert "any number of MPI processes" in _info._locality({**facts, "locality": "strict"}, metadata)


def test_all_ways_are_checked():
    assert _check._ways({"equipot_exchanges": "8"}, 2) == ("layers", "shell")
    assert _check._ways({"equipot_exchanges": "8"}, 1) == ("auto",)
    assert _check._ways({"equipot_exchanges": ""}, 2) == ("auto",)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "ranks"), [("strict", 1), ("strict", 2), ("hops", 2)])
def test_golden_frames_in_lammps(kept, style, files, capsys, kind, ranks):
    assert main(["lammps", "check", str(files(kind)), "--ranks", str(ranks)]) == 0
    printed = capsys.readouterr().out
    ways = " with ghosts layers and shell" if kind == "hops" else ""
    assert f"reproduces the golden frames (atom, molecule, triclinic){ways}\n" in printed
    assert "virials of atoms: largest relative deviation" in printed
    record_capability(
        "LAMMPS",
        f"golden frames, {ranks} MPI processes",
        version="22Jul2025 update 4",
        command=f"equipot lammps check model.equipot.pt2 --ranks {ranks}",
    )


@pytest.mark.slow
def test_other_numbers_are_refused(kept, style, files, monkeypatch):
    evaluate = _check.evaluate

    def wrong(*arguments, **options):
        found = evaluate(*arguments, **options)
        found["molecule"].forces[0, 0] += 1e-4
        return found

    monkeypatch.setattr(_check, "evaluate", wrong)
    with pytest.raises(LammpsError, match=r"LAMMPS gives other numbers than the model .*'forces'"):
        _check.check(files("strict"))


@pytest.mark.slow
def test_lines_of_a_script(kept, style, files, capsys):
    assert main(["lammps", "info", str(files("hops"))]) == 0
    printed = capsys.readouterr().out
    assert f"pair_coeff * * {files('hops')} H O" in printed
    assert "libraries of kernels: enable_FusedKernels" in printed
    assert "ghost shells of 6.4 Å, or of 3.2 Å with features exchanged between layers, on several" in printed


@pytest.mark.slow
def test_lammps_knows_the_style_by_itself(kept, style, tmp_path):
    """The entry point ``lammps.plugins``, as an installation has it."""
    information = tmp_path / "equipot_lammps_here-0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: equipot-lammps-here\nVersion: 0\n")
    (information / "entry_points.txt").write_text("[lammps.plugins]\nx = equipot_lammps._entry_point:plugin_folder\n")
    (tmp_path / "in.x").write_text("pair_style equipot\n")
    assert style == build_folder()
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    environment = {**os.environ, "PYTHONPATH": path}
    environment.pop("LAMMPS_PLUGIN_PATH", None)
    call = [sys.executable, "-c", "from lammps.executable import lmp; lmp()", "-in", "in.x", "-log", "none"]
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    record_capability("LAMMPS", "no plugin load", version="22Jul2025 update 4", command="pair_style equipot")
