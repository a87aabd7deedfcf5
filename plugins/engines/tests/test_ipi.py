import importlib.metadata
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import ase.io
import numpy as np
import pytest
from ase.calculators.socketio import SocketIOCalculator
from ipi.pes import load_pes, scan_pes_file
from ipi.utils.units import unit_to_internal, unit_to_user

from equipot._cli.main import main
from equipot.artifacts import write_package
from equipot.ase import EquipotCalculator
from equipot.errors import ConfigError, DataError
from equipot_engines import IPIDriver, ipi_driver
from equipot_test_support.engines import record_capability


def bohr(angstrom):
    return unit_to_internal("length", "angstrom", np.asarray(angstrom))


@pytest.fixture
def beads(crystals):
    """The same atoms at other places."""
    made = []
    for seed in range(4):
        atoms = crystals(3)[2]
        atoms.rattle(0.05, seed=10 + seed)
        made.append(atoms)
    return made


@pytest.fixture
def driver(model, beads, tmp_path):
    """With a template that has the places of none of the beads."""
    template = beads[0].copy()
    template.rattle(0.3, seed=1)
    ase.io.write(tmp_path / "init.extxyz", template)
    return IPIDriver(str(tmp_path / "init.extxyz"), model)


def standard_cell(atoms):
    """The same frame turned so that its cell is lower triangular, as i-PI needs it."""
    made = atoms.copy()
    made.set_cell(made.cell.standard_form()[0], scale_atoms=True)
    return made


# ------------------------------------------------------------------ the driver


def test_beads_are_one_batch_with_the_numbers_of_ase(model, driver, beads):
    calls = []
    driver._batches.calculator.model.register_forward_pre_hook(lambda _, inputs: calls.append(inputs))
    found = driver([bohr(one.cell.array.T) for one in beads], [bohr(one.positions) for one in beads])
    assert len(calls) == 1
    calculator = EquipotCalculator(model)
    for (energy, forces, virial, extras), atoms in zip(found, beads, strict=True):
        stress = calculator.get_stress(atoms)[[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
        assert unit_to_user("energy", "electronvolt", energy) == pytest.approx(
            calculator.get_potential_energy(atoms), abs=1e-10
        )
        assert np.abs(unit_to_user("force", "ev/ang", forces) - calculator.get_forces(atoms)).max() < 1e-10
        expected = -stress * atoms.get_volume()
        assert np.abs(unit_to_user("energy", "electronvolt", virial) - expected).max() < 1e-10
        assert extras == ""


def test_one_structure_is_a_batch_of_one(driver, beads):
    cell, places = bohr(beads[0].cell.array.T), bohr(beads[0].positions)
    single, (batch,) = driver(cell, places), driver([cell], [places])
    assert single[0] == batch[0]
    assert np.array_equal(single[1], batch[1])


def test_molecules_have_no_virial(model, molecules, tmp_path):
    ase.io.write(tmp_path / "init.xyz", molecules(1)[0])
    driver = IPIDriver(str(tmp_path / "init.xyz"), model)
    _, forces, virial, _ = driver(bohr(np.eye(3) * 30.0), bohr(molecules(1)[0].positions))
    assert np.abs(forces).max() > 0.0
    assert np.array_equal(virial, np.zeros((3, 3)))


def test_ipi_finds_the_driver_by_its_file(capsys):
    assert main(["ipi", "--driver-path"]) == 0
    path = capsys.readouterr().out.strip()
    assert path == ipi_driver.__file__
    assert scan_pes_file(path) == ("IPIDriver", "equipot")
    assert load_pes("custom", path).__name__ == "IPIDriver"


def test_what_the_driver_refuses(model, driver, beads, energy_model, charged_model, tmp_path):
    template = str(tmp_path / "init.extxyz")
    with pytest.raises(ConfigError, match=r"IPIDriver.model: has no forces"):
        IPIDriver(template, energy_model)
    with pytest.raises(ConfigError, match=r"IPIDriver.model: reads total_charge"):
        IPIDriver(template, charged_model)
    with pytest.raises(ConfigError, match=r"IPIDriver.template: cannot be read .*, got 'nothing.xyz'"):
        IPIDriver("nothing.xyz", model)
    write_package(model, tmp_path / "model.equipot.zip")
    with pytest.raises(ConfigError, match=r"IPIDriver.allow_native: must be true or false, got 'perhaps'"):
        IPIDriver(template, str(tmp_path / "model.equipot.zip"), allow_native="perhaps")
    with pytest.raises(ConfigError, match=r"IPIDriver.template: has 8 atoms, and i-PI others, got \[3\]"):
        driver(bohr(beads[0].cell.array.T), np.zeros((3, 3)))
    with pytest.raises(DataError, match="coordinates must be finite"):
        driver(bohr(beads[0].cell.array.T), np.full((8, 3), np.nan))


# ------------------------------------------------------------------ the socket client


@pytest.fixture
def served(model, beads, tmp_path, monkeypatch):
    """A package and a structure in the current folder, and ``serve(**socket)``: a server that asks for two beads."""
    monkeypatch.chdir(tmp_path)
    write_package(model, "model.equipot.zip")
    ase.io.write("init.extxyz", beads[0])
    found = []

    def ask(server, asked):
        try:
            with server as calculator:
                for atoms in asked:
                    energy, forces = calculator.get_potential_energy(atoms), calculator.get_forces(atoms)
                    found.append((energy, forces, calculator.get_stress(atoms)))
        except OSError as error:  # the client has gone
            found.append(error)

    def serve(asked=beads[1:3], **socket):
        thread = threading.Thread(target=ask, args=(SocketIOCalculator(timeout=60.0, **socket), asked))
        thread.start()
        return thread

    return SimpleNamespace(serve=serve, found=found)


SOCKETS = {
    "unix": ({"unixsocket": "equipot_test"}, ["--unix", "equipot_test"]),
    "inet": ({"port": 31416}, ["--port", "31416", "--host", "127.0.0.1"]),
}


@pytest.mark.parametrize("kind", SOCKETS)
def test_the_client_gives_what_ase_gives(kind, served, model, beads, capsys):
    socket, words = SOCKETS[kind]
    thread = served.serve(**socket)
    assert main(["ipi", "model.equipot.zip", "init.extxyz", *words, "--wait", "30"]) == 0
    thread.join()
    assert capsys.readouterr().out == "connected\nthe server has ended, after 2 calculations\n"
    calculator = EquipotCalculator(model)
    for (energy, forces, stress), atoms in zip(served.found, beads[1:3], strict=True):
        assert energy == pytest.approx(calculator.get_potential_energy(atoms), abs=1e-9)
        assert np.abs(forces - calculator.get_forces(atoms)).max() < 1e-9
        assert np.abs(stress - calculator.get_stress(atoms)).max() < 1e-9


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--unix", "nobody_here", "--wait", "0"], "--unix nobody_here: no server answers"),
        (["--unix", "a", "--port", "3"], "--unix: cannot be given together with --host or --port"),
        (["--types", "H"], "--types: must be NAME=VALUE, got 'H'"),
    ],
)
def test_what_the_client_refuses(words, problem, served, capsys):
    assert main(["ipi", "model.equipot.zip", "init.extxyz", *words]) == 2
    assert problem in capsys.readouterr().err


def test_an_energy_model_is_refused_before_it_connects(energy_model, served, capsys):
    write_package(energy_model, "energy.equipot.zip")
    assert main(["ipi", "energy.equipot.zip", "init.extxyz", "--unix", "nobody_here"]) == 2
    assert "equipot ipi.model: has no forces" in capsys.readouterr().err


def test_forces_beyond_the_limit_end_the_client(served, beads, capsys):
    close = beads[0].copy()
    close.positions[1] = close.positions[0] + [0.0, 0.0, 0.001]
    thread = served.serve([close], unixsocket="equipot_close")
    assert main(["ipi", "model.equipot.zip", "init.extxyz", "--unix", "equipot_close", "--wait", "30"]) == 2
    thread.join()
    assert "more than max_force=1e+06" in capsys.readouterr().err
    assert isinstance(served.found[0], OSError)


# ------------------------------------------------------------------ i-PI itself

INPUT = """
<simulation verbosity='medium'>
  <output prefix='out'>
    <properties filename='md' stride='1'> [ step, conserved{electronvolt}, potential{electronvolt}, volume{angstrom3},
      pressure_cv{megapascal} ] </properties>
  </output>
  <total_steps> STEPS </total_steps>
  <prng> <seed> 31 </seed> </prng>
  FORCEFIELD
  <system>
    <initialize nbeads='4'>
      <file mode='ase'> init.extxyz </file>
      <velocities mode='thermal' units='kelvin'> 300 </velocities>
    </initialize>
    <forces> <force forcefield='equipot'> </force> </forces>
    <ensemble> <temperature units='kelvin'> 300 </temperature> <pressure units='megapascal'> 10 </pressure> </ensemble>
    <motion mode='dynamics'>
      <dynamics mode='npt'>
        <timestep units='femtosecond'> 0.5 </timestep>
        <thermostat mode='pile_l'> <tau units='femtosecond'> 100 </tau> </thermostat>
        <barostat mode='isotropic'> <tau units='femtosecond'> 200 </tau>
          <thermostat mode='langevin'> <tau units='femtosecond'> 100 </tau> </thermostat> </barostat>
      </dynamics>
    </motion>
  </system>
</simulation>
"""

DIRECT = """<ffdirect name='equipot'> <pes>custom</pes> <pes_path>PATH</pes_path> <batch_size>4</batch_size>
  <parameters> {template: init.extxyz, model: model.equipot.zip} </parameters> </ffdirect>"""
SOCKET = "<ffsocket name='equipot' mode='unix' pbc='false'> <address>equipot_pimd</address> </ffsocket>"


def start(words, folder):
    return subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def start_ipi(folder, forcefield, steps):
    text = INPUT.replace("FORCEFIELD", forcefield).replace("STEPS", str(steps)).replace("PATH", ipi_driver.__file__)
    (folder / "input.xml").write_text(text, encoding="utf-8")
    return start([sys.executable, "-W", "ignore", Path(sys.executable).with_name("i-pi"), "input.xml"], folder)


def finished(process):
    """Its output, after it has ended; i-PI says in it whether it was stopped by a problem."""
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


@pytest.mark.slow
def test_path_integrals_do_not_depend_on_how_the_model_is_called(model, beads, tmp_path):
    write_package(model, tmp_path / "model.equipot.zip")
    ase.io.write(tmp_path / "init.extxyz", standard_cell(beads[0]))
    finished(start_ipi(tmp_path, DIRECT, steps=4))
    direct = np.loadtxt(tmp_path / "out.md")
    words = ["ipi", "model.equipot.zip", "init.extxyz", "--unix", "equipot_pimd", "--wait", "250"]
    client = start([sys.executable, "-m", "equipot._cli.main", *words], tmp_path)
    finished(start_ipi(tmp_path, SOCKET, steps=4))
    assert "after 20 calculations" in finished(client)
    by_socket = np.loadtxt(tmp_path / "out.md")
    assert direct.shape == by_socket.shape == (5, 5)
    assert np.ptp(direct[:, 2]) > 1e-3
    relative = float((np.abs(direct - by_socket)[1:] / np.abs(by_socket)[1:]).max())
    assert relative < 1e-6
    version = importlib.metadata.version("ipi")
    direct_line = "<ffdirect> <pes>custom</pes> <pes_path> of equipot ipi --driver-path"
    record_capability("i-PI", "path integrals, all beads in one batch", version=version, command=direct_line)
    client_line = "equipot ipi model.equipot.zip init.xyz --unix NAME"
    name, deviation = "path integrals over a socket", f"{relative:.0e} of each property"
    record_capability("i-PI", name, version=version, command=client_line, deviation=deviation)


@pytest.mark.slow
def test_an_error_in_the_driver_ends_ipi(model, beads, tmp_path):
    write_package(model, tmp_path / "model.equipot.zip")
    close = standard_cell(beads[0])
    close.positions[1] = close.positions[0] + [0.0, 0.0, 0.001]
    ase.io.write(tmp_path / "init.extxyz", close)
    output = finished(start_ipi(tmp_path, DIRECT, steps=4))
    assert "more than max_force=1e+06" in output
    assert "I-PI reports a problem" in output
