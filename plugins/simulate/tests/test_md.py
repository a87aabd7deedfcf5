"""Runs of molecular dynamics: all ensembles, exact continuation, signals, and runs that break off."""

import csv
import signal
import subprocess
import sys
import time

import ase
import numpy as np
import pytest
from ase import units
from ase.build import molecule
from ase.io import read, write

from equipot_simulate._md import COLUMNS, steps_of
from equipot_test_support.engines import record_capability

ENSEMBLES = {
    "nve": ["--ensemble", "nve"],
    "langevin": [],
    "bussi": ["--thermostat", "bussi"],
    "nose-hoover": ["--thermostat", "nose-hoover"],
    "npt": ["--ensemble", "npt", "--pressure", "1"],
    "npt free": ["--ensemble", "npt", "--cell", "free"],
}
SHORT = ["--log-every", 2, "--every", 3]


def log(folder):
    with (folder / "log.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def assert_same_run(one, other):
    """States, logs and trajectories are the same to the last bit."""
    with np.load(one / "state.npz") as first, np.load(other / "state.npz") as second:
        assert set(first.files) == set(second.files)
        for name in set(first.files) - {"record"}:
            assert np.array_equal(first[name], second[name]), name
    assert (one / "log.csv").read_bytes() == (other / "log.csv").read_bytes()
    assert (one / "trajectory.extxyz").read_bytes() == (other / "trajectory.extxyz").read_bytes()
    assert (one / "final.extxyz").read_bytes() == (other / "final.extxyz").read_bytes()


SLOWER = ("nve", "langevin", "nose-hoover", "npt")
every_ensemble = pytest.mark.parametrize(
    "options",
    [pytest.param(one, id=name, marks=[pytest.mark.slow] * (name in SLOWER)) for name, one in ENSEMBLES.items()],
)


@every_ensemble
def test_a_run_in_two_parts_equals_a_whole_one(place, options, request):
    whole = place.ok("md", *options, *SHORT, "--steps", 9, folder="whole")
    place.ok("md", *options, *SHORT, "--steps", 4, folder="parts")
    code, out, _ = place.call("md", *options, *SHORT, "--steps", 9, "--output", "parts", "--resume")
    assert (code, "going on after step 4" in out) == (0, True)
    assert_same_run(place.path / "whole", place.path / "parts")
    assert (whole["status"], whole["steps"], whole["time_ps"]) == ("finished", 9, 0.009)
    assert [row["step"] for row in log(place.path / "whole")] == ["0", "2", "4", "6", "8"]
    frames = read(place.path / "whole" / "trajectory.extxyz", ":")
    assert [frame.info["step"] for frame in frames] == [0, 3, 6, 9]
    assert np.abs(frames[0].positions - frames[-1].positions).max() > 1e-3
    assert frames[-1].get_forces().shape == (4, 3)
    assert (place.path / "whole" / "md.png").read_bytes().startswith(b"\x89PNG")
    name, words = request.node.callspec.id, " ".join(["equipot md MODEL STRUCTURE", *options, "--resume"])
    record_capability("ASE", f"md, {name}, resumed", version=ase.__version__, command=words, deviation="0 Å")


def test_what_was_written_after_the_last_state_is_written_again(place):
    place.ok("md", *SHORT, "--steps", 9, folder="whole")
    place.ok("md", *SHORT, "--steps", 4, folder="parts")
    with (place.path / "parts" / "trajectory.extxyz").open("a") as file:
        file.write("4\nhalf a fra")
    with (place.path / "parts" / "log.csv").open("a") as file:
        file.write("6,0.0")
    place.ok("md", *SHORT, "--steps", 9, "--resume", folder="parts")
    assert_same_run(place.path / "whole", place.path / "parts")


def test_binary_trajectories_go_on_too(place):
    place.ok("md", *SHORT, "--steps", 4, "--trajectory", "traj", folder="parts")
    file = place.path / "parts" / "trajectory.traj"
    write(file, [*read(file, ":"), read(file)])
    place.ok("md", *SHORT, "--steps", 9, "--trajectory", "traj", "--resume", folder="parts")
    assert [frame.info["step"] for frame in read(file, ":")] == [0, 3, 6, 9]


def test_a_finished_run_is_left_alone(place):
    place.ok("md", "--steps", 3, folder="out")
    before = (place.path / "out" / "state.npz").read_bytes()
    code, out, _ = place.call("md", "--steps", 3, "--output", "out", "--resume")
    assert (code, out) == (0, "out: all 3 steps are done\n")
    assert (place.path / "out" / "state.npz").read_bytes() == before


@pytest.mark.slow
def test_energy_is_conserved(place):
    """Velocity Verlet: the error of the energy falls with the square of the time step."""
    drifts = [
        place.ok("md", "--ensemble", "nve", "--timestep", step, "--time", 0.1, "--log-every", 1, folder=f"nve{step}")
        for step in (2.0, 1.0)
    ]
    first, second = (one["largest_drift_mev_per_atom"] for one in drifts)
    assert second < 0.3
    assert 2.5 < first / second < 6.0
    for name in ("bussi", "nose-hoover", "npt"):
        found = place.ok("md", *ENSEMBLES[name], "--steps", 60, "--log-every", 1, folder=name)
        assert found["largest_drift_mev_per_atom"] < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["langevin", "bussi", "nose-hoover"])
def test_thermostats_reach_the_temperature(place, name):
    write("cu.extxyz", read("cu.extxyz").repeat((2, 2, 2)))
    more = ["--timestep", 4, "--steps", 900, "--damping", 100, "--temperature", 500]
    found = place.ok("md", *ENSEMBLES[name], *more, folder=name)
    assert found["averages"]["temperature_k"]["mean"] == pytest.approx(500.0, rel=0.12)


@pytest.mark.slow
def test_a_barostat_reaches_the_pressure(place):
    write("cu.extxyz", read("cu.extxyz").repeat((2, 2, 2)))
    options = ["--ensemble", "npt", "--pressure", 5, "--timestep", 4, "--steps", 1200, "--pressure-damping", 200]
    found = place.ok("md", *options, "--temperature", 100, folder="npt")
    assert found["averages"]["pressure_gpa"]["mean"] == pytest.approx(5.0, abs=0.6)
    assert found["averages"]["volume_a3"]["mean"] < 32 * 12.5


def test_numbers_of_the_log(place, make_crystal):
    from equipot.ase import EquipotCalculator

    place.ok("md", "--steps", 2, "--log-every", 1, "--every", 1, folder="out")
    rows, frames = log(place.path / "out"), read(place.path / "out" / "trajectory.extxyz", ":")
    assert tuple(rows[0]) == COLUMNS
    calculator = EquipotCalculator(place.model)
    for row, frame in zip(rows, frames, strict=True):
        energy = calculator.get_potential_energy(frame)
        assert float(row["potential_energy_ev"]) == pytest.approx(energy, abs=1e-6)
        assert float(row["temperature_k"]) == pytest.approx(frame.get_temperature() * 12 / 9, rel=1e-5)
        frame.calc = calculator
        stress = frame.get_stress(include_ideal_gas=True)[:3].mean()
        assert float(row["pressure_gpa"]) == pytest.approx(-stress / units.GPa, abs=1e-4)
    assert {row["conserved_energy_ev"] for row in rows} == {""}


# ------------------------------------------------------------------------------- ends


def start(place, *arguments, environment):
    """A run in another process, waited for until its log has some rows."""
    command = [sys.executable, "-m", "equipot._cli.main", "md", place.model, "cu.extxyz", "--steps", "100000"]
    process = subprocess.Popen(
        [*command, *arguments, "--output", "run"], env=environment, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if (place.path / "run/log.csv").exists() and len(log(place.path / "run")) > 3:
            return process
        time.sleep(0.05)
    raise AssertionError(process.communicate())


@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_goes_on(place, environment):
    process = start(place, *map(str, SHORT), environment=environment)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    done = place.results("run")
    assert done["status"] == "interrupted"
    total = done["steps"] + 5
    place.ok("md", *SHORT, "--steps", total, "--resume", folder="run")
    place.ok("md", *SHORT, "--steps", total, folder="whole")
    assert_same_run(place.path / "run", place.path / "whole")


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_last_state(place, environment, monkeypatch):
    script = "import equipot_simulate._md as md; md.BETWEEN_SAVES = 0.0; from equipot._cli.main import main; main()"
    command = [sys.executable, "-c", script, "md", place.model, "cu.extxyz", "--steps", "100000", *map(str, SHORT)]
    process = subprocess.Popen([*command, "--output", "run"], env=environment)
    deadline = time.monotonic() + 120
    while not (place.path / "run/state.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.kill()
    process.wait()
    assert not (place.path / "run/results.json").exists()
    from equipot_simulate._state import read_state

    at = read_state(place.path / "run/state.npz")[0]["step"]
    assert at > 0
    place.ok("md", *SHORT, "--steps", at + 5, "--resume", folder="run")
    place.ok("md", *SHORT, "--steps", at + 5, folder="whole")
    assert_same_run(place.path / "run", place.path / "whole")


def test_a_runaway_is_one_line_and_leaves_its_files(place):
    code, _, errors = place.call(
        "md", "--ensemble", "nve", "--timestep", 50, "--steps", 200, "--log-every", 1, "--output", "out"
    )
    (line,) = errors.splitlines()
    assert code == 2
    assert line.startswith("error: step ")
    assert "what was computed is in out" in line
    assert place.results("out")["status"] == "broken off"
    assert log(place.path / "out")


def test_a_run_stops_where_a_result_is_too_large(place):
    """The crystal at rest has no forces; once it moves they grow."""
    found = place.ok("md", *SHORT, "--steps", 40, "--stop-above", "forces=0.05", "energy_per_atom=1e3", folder="out")
    assert found["status"] == "stopped"
    assert 0 < found["steps"] < 40
    last = np.abs(read(place.path / "out" / "final.extxyz").get_forces()).max()
    assert last > 0.05
    assert found["reason"] == f"forces is {last:.4g}, above 0.05"
    found = place.ok("md", *SHORT, "--steps", 40, "--stop-above", "forces=1e3", "--resume", folder="out")
    assert (found["status"], found["steps"]) == ("finished", 40)
    place.ok("md", *SHORT, "--steps", 40, folder="whole")
    assert_same_run(place.path / "out", place.path / "whole")


# ----------------------------------------------------------------------------- refusals


def test_refusals(place):
    place.ok("md", "--steps", 2, folder="out")
    assert place.error("md") == "--steps, --time: give one of the two; for example --time 10 (ps) or --steps 10000"
    assert place.error("md", "--steps", 1, "--temperature", -3).startswith("--temperature: must be greater than 0")
    assert "out: already holds files" in place.error("md", "--steps", 2, "--output", "out")
    assert "cannot be given together" in place.error("md", "--steps", 2, "--output", "out", "--resume", "--overwrite")
    assert "--stop-above: must be RESULT=NUMBER, got 'forces=big'" in place.error(
        "md", "--steps", 1, "--stop-above", "forces=big", "--output", "new"
    )
    unknown = place.error("md", "--steps", 1, "--stop-above", "energy_std_per_atom=1", "--output", "other")
    assert unknown.startswith("--stop-above: the model has no energy_std_per_atom; this model gives energies, energy")
    assert "--damping: must be at least two time steps" in place.error("md", "--steps", 1, "--damping", 1)
    code, _, errors = place.call("md", "--steps", 9, "--temperature", 400, "--output", "out", "--resume")
    assert code == 2
    assert "temperature: was 300.0 in the run to go on with, got 400.0" in errors
    assert place.results("out")["steps"] == 2
    place.ok("md", "--steps", 3, "--overwrite", folder="out")
    assert place.results("out")["steps"] == 3


def test_structures_that_an_ensemble_cannot_take(place):
    write("h2.extxyz", molecule("H2"))
    text = place.error("md", "--steps", 1, "--ensemble", "npt", structure="h2.extxyz")
    assert text == "--ensemble npt: needs a structure that is periodic in all three directions"
    assert "has no velocities" in place.error("md", "--steps", 1, "--keep-velocities", "--output", "new")
    write("o2.extxyz", molecule("O2"))
    assert "the model has no atom type" in place.error("md", "--steps", 1, structure="o2.extxyz")
    assert place.ok("md", "--steps", 1, structure="h2.extxyz", folder="h2")["options"]["timestep"] == 0.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--keep-velocities",), "--keep-velocities: the structure has no velocities"),
        (("--stop-above", "magmom=1"), "--stop-above: the model has no magmom"),
        (("--stop-above", "energy_std=-1"), "--stop-above energy_std: must be greater than 0, got -1.0"),
    ],
)
def test_a_refused_run_leaves_no_folder(place, words, message):
    before = sorted(place.path.rglob("*"))
    assert message in place.error("md", "--steps", 1, "--output", "some/where", *words)
    assert sorted(place.path.rglob("*")) == before
    (place.path / "empty").mkdir()
    assert message in place.error("md", "--steps", 1, "--output", "empty", *words)
    assert list((place.path / "empty").iterdir()) == []


def test_a_structure_of_no_known_format(place):
    """The commands have no --ase-args, so the message must not name options of configs."""
    (place.path / "log.csv").write_text("a,b")
    found = place.error("md", "--steps", 1, structure="log.csv")
    assert found.startswith("log.csv: has an unknown format, or one that is not read; convert it with 'ase convert")


def test_a_folder_that_is_not_ours_is_not_removed(place):
    (place.path / "mine").mkdir()
    (place.path / "mine" / "thesis.tex").write_text("all of it")
    assert "nothing is removed" in place.error("md", "--steps", 1, "--output", "mine", "--overwrite")
    assert (place.path / "mine" / "thesis.tex").exists()


def test_the_number_of_steps():
    assert steps_of(7, None, 1.0) == 7
    assert steps_of(None, 0.1, 0.5) == 200
