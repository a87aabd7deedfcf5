"""Many structures over Dask: equal to one by one, written as they come, and nothing lost when a worker dies."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ase import Atoms
from ase.io import read, write

from equipot.ase import EquipotCalculator
from equipot.errors import ConfigError
from equipot_simulate._many import records
from equipot_simulate._many_files import write_tables
from equipot_simulate._many_options import Many, many_of
from equipot_simulate._tasks import PredictTask, RelaxTask, arrive
from equipot_test_support.engines import record_capability

pytest.importorskip("distributed", reason="needs distributed")


def record(capability, command, options, deviation=None):
    import distributed

    line = f"equipot {command} MODEL STRUCTURES {options}"
    record_capability("Dask", capability, version=distributed.__version__, command=line, deviation=deviation)


def record_files(folder):
    return sorted(path.name for path in (folder / "records").glob("[0-9]*.json"))


# --------------------------------------------------------------------- without a cluster


def test_a_task_gives_records_also_of_what_fails(place, make_crystal):
    import pickle

    calculator = arrive(pickle.dumps(EquipotCalculator(place.model)))
    frames = [(4, make_crystal()), (7, Atoms("He", cell=[3, 3, 3], pbc=True))]
    good, bad = PredictTask()(frames, calculator)
    assert (good["index"], good["status"]) == (4, "ok")
    assert good["results"]["energy"] == EquipotCalculator(place.model).get_potential_energy(make_crystal())
    assert (bad["index"], bad["status"]) == (7, "failed")
    assert "the model has no atom type for" in bad["reason"]
    (found,) = RelaxTask({"fmax": 1e-3})(frames[:1], calculator)
    relaxed = found["structure"]
    assert found["results"]["converged"]
    assert relaxed["energy"] == found["results"]["energy_ev"] < good["results"]["energy"]


def test_tables(tmp_path, make_crystal):
    frames = [make_crystal(), make_crystal()]
    forces = [[3.0, 0.0, 4.0], [0.0] * 3, [0.0] * 3, [0.0] * 3]
    found = {
        0: {"index": 0, "status": "ok", "results": {"energy": -8.0, "forces": forces}},
        1: {"index": 1, "status": "failed", "reason": "no", "results": {}},
    }
    write_tables(tmp_path, "predict", found, frames)
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["energy_ev_per_atom"] for row in rows] == ["-2.0", ""]
    assert [row["largest_force_ev_per_a"] for row in rows] == ["5.0", ""]
    assert [row["reason"] for row in rows] == ["", "no"]
    assert read(tmp_path / "structures.extxyz").get_forces()[0] == pytest.approx(forces[0])
    assert (tmp_path / "predict.png").is_file()


def test_where_many_are_computed():
    assert many_of({"workers": 3, "scheduler": None}) == Many(workers=3, scheduler=None)
    with pytest.raises(ConfigError, match="cannot be given together with --scheduler"):
        many_of({"workers": 3, "scheduler": "tcp://1.2.3.4:5"})
    with pytest.raises(ConfigError, match="--workers: must be at least 1"):
        many_of({"workers": 0, "scheduler": None})


def test_records_that_cannot_be_read_are_missing(tmp_path):
    (tmp_path / "records").mkdir()
    (tmp_path / "records/000001.json").write_text('{"index": 1, "status": "ok"}')
    (tmp_path / "records/000002.json").write_text('{"index": 2, "sta')
    assert list(records(tmp_path)) == [1]


# ------------------------------------------------------------------------ with a cluster


@pytest.mark.slow
def test_relaxations_equal_those_one_by_one(several, cluster):
    """A frame that fails counts; a second run computes only what is missing."""
    write("cu.extxyz", [*read("cu.extxyz", ":3"), Atoms("He", cell=[3, 3, 3], pbc=True)])
    code, out, errors = several.call("relax", "--fmax", 1e-3, *cluster, "--output", "all")
    assert code == 1
    assert "3 of 4 structures done, 1 failed" in out
    assert "frame 3 failed: EquipotCalculator: the model has no atom type for" in errors
    results = several.results("all")
    assert (results["status"], results["done"], list(results["failed"])) == ("failures", 3, ["3"])
    found, deviation = read("all/structures.extxyz", ":"), 0.0
    for index in range(3):
        one = several.ok("relax", "--fmax", 1e-3, "--frame", index, folder=f"one{index}")
        made = json.loads(Path(f"all/records/{index:06d}.json").read_text())
        assert made["results"]["energy_ev"] == pytest.approx(one["energy_ev"], abs=1e-12)
        assert made["results"]["steps"] == one["steps"]
        relaxed = read(f"one{index}/relaxed.extxyz")
        assert found[index].positions == pytest.approx(relaxed.positions, abs=1e-7)
        deviation = max(deviation, abs(made["results"]["energy_ev"] - one["energy_ev"]))
    Path("all/records/000001.json").unlink()
    kept = Path("all/records/000000.json").stat().st_mtime_ns
    code, _, errors = several.call("relax", "--fmax", 1e-3, *cluster, "--output", "all", "--resume")
    assert "2 of 4 structures to compute" in errors
    assert Path("all/records/000000.json").stat().st_mtime_ns == kept
    assert len(record_files(Path("all"))) == 4
    text = several.error("relax", "--fmax", 1e-2, *cluster, "--output", "all", "--resume")
    assert "the run to go on with has other options" in text
    record("relaxation of many structures on a cluster", "relax", "--scheduler ADDRESS", f"{deviation:.1g} eV")


@pytest.mark.slow
def test_dynamics_of_many_go_on(several, cluster):
    options = ["--thermostat", "bussi", "--log-every", 2, "--every", 2]
    write("cu.extxyz", read("cu.extxyz", ":3"))
    several.ok("md", *options, "--steps", 4, *cluster, folder="all")
    several.ok("md", *options, "--steps", 8, *cluster, "--resume", folder="all")
    several.ok("md", *options, "--steps", 8, "--frame", 2, folder="one")
    for name in ("trajectory.extxyz", "log.csv", "final.extxyz"):
        assert Path("all/runs/000002", name).read_bytes() != b""
    whole, one = read("all/runs/000002/trajectory.extxyz", ":"), read("one/trajectory.extxyz", ":")
    assert [frame.info["step"] for frame in whole] == [0, 2, 4, 6, 8]
    assert whole[-1].positions == pytest.approx(one[-1].positions, abs=1e-8)
    record("dynamics of many structures, resumed", "md", "--scheduler ADDRESS --resume")


@pytest.mark.slow
def test_predictions_equal_those_one_by_one(several, cluster):
    several.ok("predict", *cluster, folder="all")
    calculator = EquipotCalculator(several.model)
    for index, atoms in enumerate(read("cu.extxyz", ":")):
        made = json.loads(Path(f"all/records/{index:06d}.json").read_text())["results"]
        assert made["energy"] == pytest.approx(calculator.get_potential_energy(atoms), abs=1e-12)
    record("predictions of many structures", "predict", "--scheduler ADDRESS")


@pytest.mark.slow
def test_a_second_run_with_other_frames_or_weights_is_refused(several, cluster):
    several.ok("predict", "--frame", 1, *cluster, folder="all")
    for options, what in ((["--frame", 2], "frames"), (["--frame", 1, "--weights", "raw"], "options")):
        text = several.error("predict", *options, *cluster, "--output", "all", "--resume")
        assert f"the run to go on with has other {what}" in text


@pytest.mark.slow
def test_an_address_that_nobody_listens_at(several, monkeypatch):
    monkeypatch.setattr("equipot_simulate._many._PATIENCE", 1.0)
    text = several.error("predict", "--scheduler", "tcp://127.0.0.1:9", "--output", "none")
    assert text.startswith("--scheduler: no connection: ")


def worker_processes(parent):
    """Processes below a process whose work is Dask's."""
    import psutil

    below = psutil.Process(parent).children(recursive=True)
    return [one.pid for one in below if any("spawn_main" in word for word in one.cmdline())]


@pytest.fixture
def started(several, environment):
    """A run of twelve frames in another process that waits a little before each, and has written its first record."""
    write("cu.extxyz", read("cu.extxyz", ":") * 2)
    slow = several.path / "slow_tasks.py"
    slow.write_text(
        "import time\nfrom equipot_simulate import _tasks\n"
        "class RelaxTask(_tasks.RelaxTask):\n"
        "    def compute(self, index, atoms):\n        time.sleep(0.7)\n        return super().compute(index, atoms)\n"
    )
    script = (
        "import sys, slow_tasks\nfrom equipot_simulate import _tasks\n_tasks.RelaxTask = slow_tasks.RelaxTask\n"
        "from equipot._cli.main import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
    )
    (several.path / "start.py").write_text(script)
    command = [sys.executable, "start.py", "relax", several.model, "cu.extxyz", "--steps", "2", "--output", "all"]
    path = os.pathsep.join([str(several.path), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [*command, "--workers", "2"], env={**environment, "PYTHONPATH": path}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None and not record_files(several.path / "all"):
        time.sleep(0.05)
    assert process.poll() is None, process.communicate()
    return process


@pytest.mark.slow
def test_a_worker_that_dies_loses_nothing(several, started):
    victims = worker_processes(started.pid)
    assert victims
    before = len(record_files(several.path / "all"))
    os.kill(victims[0], signal.SIGKILL)
    output, _ = started.communicate(timeout=240)
    assert before < 12
    assert started.returncode == 0, output
    found = several.results("all")
    assert (found["status"], found["done"], found["failed"]) == ("finished", 12, {})
    assert len(read("all/structures.extxyz", ":")) == 12
    record("relaxation of many structures, a worker killed", "relax", "--workers 2")


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done(several, started):
    started.send_signal(signal.SIGINT)
    output, _ = started.communicate(timeout=120)
    assert started.returncode == 130, output
    assert "Traceback" not in output
    results = several.results("all")
    assert results["status"] == "interrupted"
    assert 0 < results["done"] < 12
