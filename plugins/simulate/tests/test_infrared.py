"""Infrared spectra against oscillators whose frequency, strength and temperature are known."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from equipot._cli.main import main
from equipot_simulate._infrared import SPEED_OF_LIGHT, InfraredOptions, spectrum_of

INTERVAL, STEPS, TEMPERATURE = 2.0, 3000, 300.0
LINES = {3600.0: 0.3, 1100.0: 0.5}
"""Wavenumbers in 1/cm, and slopes dμ/dQ in e / sqrt(u)."""


def dipoles(seed, interval=INTERVAL):
    """Of oscillators with the mean energy of the temperature, whose phases are random, on top of a constant."""
    times, rng = np.arange(STEPS) * interval, np.random.default_rng(seed)
    found = np.full((STEPS, 3), 0.3)
    for axis, (wavenumber, slope) in enumerate(LINES.items()):
        omega = 2.0 * np.pi * SPEED_OF_LIGHT * wavenumber
        amplitude = np.sqrt(2.0 * units.kB * TEMPERATURE) / (omega / units.fs)  # Å sqrt(u)
        found[:, axis] += slope * amplitude * np.cos(omega * times + rng.uniform(0.0, 2.0 * np.pi))
    return found


def trajectory(name, moments, interval=INTERVAL, symbols="CO", **kept):
    frames = []
    for index, moment in enumerate(moments):
        atoms = Atoms(symbols, np.eye(3)[: len(Atoms(symbols))], info={"time_ps": index * interval / 1000.0, **kept})
        atoms.calc = SinglePointCalculator(atoms, dipole=moment)
        frames.append(atoms)
    write(name, frames)


def error_of(capfd, *arguments):
    assert main(["infrared", *map(str, arguments)]) == 2
    return capfd.readouterr().err.strip().removeprefix("error: ")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_lines_have_their_place_width_and_strength():
    found = spectrum_of([dipoles(seed) for seed in (1, 2)], INTERVAL, InfraredOptions(temperature=TEMPERATURE))
    step = found.wavenumbers[1] - found.wavenumbers[0]
    record = found.record()
    assert [one["wavenumber_per_cm"] for one in record["peaks"]] == pytest.approx(sorted(LINES), abs=2.0)
    strengths = {wavenumber: 974.88 * slope**2 for wavenumber, slope in LINES.items()}  # 42.256 km/mol is 1 (D/Å)²/u
    assert record["total_km_per_mol"] == pytest.approx(sum(strengths.values()), rel=0.01)
    for wavenumber, strength in strengths.items():
        line = found.intensities[np.abs(found.wavenumbers - wavenumber) < 100.0]
        assert line.sum() * step == pytest.approx(strength, rel=0.01)
        assert (line > 0.5 * line.max()).sum() * step == pytest.approx(20.0, abs=6.0)
    assert found.wavenumbers[-1] <= 4000.0


def test_the_command_writes_table_figure_and_peaks(here, capfd):
    for seed in (1, 2):
        trajectory(f"run{seed}.extxyz", dipoles(seed)[:300])
    assert main(["infrared", "run1.extxyz", "run2.extxyz", "--resolution", "100", "--output", "out"]) == 0
    assert capfd.readouterr().out.startswith("2 runs, 1.2 ps; peaks at ")
    found = json.loads(Path("out/results.json").read_text(encoding="utf-8"))
    assert (found["time_ps"], found["interval_fs"], len(found["trajectories"])) == (1.2, 2.0, 2)
    with Path("out/infrared.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["wavenumber_per_cm"]) <= 4000.0
    highest = max(rows, key=lambda row: float(row["intensity_km_per_mol_cm"]))
    assert float(highest["wavenumber_per_cm"]) == pytest.approx(1100.0, abs=20.0)
    assert Path("out/infrared.png").read_bytes().startswith(b"\x89PNG")


def test_files_without_times_need_an_interval(here, capfd):
    trajectory("run.extxyz", dipoles(1, interval=1.0)[:600])
    frames = read("run.extxyz", ":")
    for one in frames:
        del one.info["time_ps"]
    write("run.extxyz", frames)
    assert error_of(capfd, "run.extxyz") == "run.extxyz: the frames do not say their time; give --interval, in fs"
    assert main(["infrared", "run.extxyz", "--interval", "1", "--resolution", "100"]) == 0
    found = json.loads(Path("run_infrared/results.json").read_text(encoding="utf-8"))
    assert found["peaks"][0]["wavenumber_per_cm"] == pytest.approx(1100.0, abs=20.0)


def test_what_cannot_give_a_spectrum(here, capfd):
    trajectory("run.extxyz", dipoles(1)[:100])
    text = error_of(capfd, "run.extxyz")
    assert text == (
        "infrared: a resolution of 20 1/cm needs 1201 frames, 2.4 ps, got 100; longer runs, or a larger --resolution"
    )
    trajectory("rare.extxyz", dipoles(1)[:100], interval=50.0)
    text = error_of(capfd, "rare.extxyz")
    assert text.startswith("rare.extxyz: frames must be at most 4 fs apart, or fast vibrations appear as slow ones")
    trajectory("other.extxyz", dipoles(1)[:100], symbols="HF")
    text = error_of(capfd, "run.extxyz", "other.extxyz")
    assert text == "infrared: all runs must have the same molecule, got ['CO', 'HF']"
    write("bare.extxyz", [Atoms("CO", info={"time_ps": 0.001 * index}) for index in range(3)])
    text = error_of(capfd, "bare.extxyz")
    assert text.startswith("bare.extxyz: frame 0 has no dipole moment; equipot md writes those of a model")
    assert error_of(capfd, "run.extxyz", "--resolution", "0") == "--resolution: must be greater than 0, got 0.0"


@pytest.mark.slow
def test_runs_of_a_model_with_dipole_moments(here, capfd):
    pytest.importorskip("equipot_dipoles", reason="needs equipot-dipoles")
    pytest.importorskip("equipot_nequip", reason="needs equipot-nequip")
    from equipot.artifacts import write_package
    from equipot.model import NequIPGNNModel, apply_modifier

    options = {"num_layers": 1, "num_features": 4, "avg_num_neighbors": 2.0, "per_type_energy_scales": 1e-3, "seed": 1}
    model = NequIPGNNModel(type_names=["H", "O"], r_max=4.0, **options).build().eval()
    write_package(apply_modifier(model, "add_Dipoles"), "model.equipot.zip")
    write("water.extxyz", molecule("H2O"))
    run = ["--ensemble", "nve", "--temperature", "10", "--steps", "500", "--every", "4", "--output", "run"]
    assert main(["md", "model.equipot.zip", "water.extxyz", *run]) == 0, capfd.readouterr().err
    given = ["run/trajectory.extxyz", "--resolution", "200", "--output", "out"]
    assert main(["infrared", *given]) == 0, capfd.readouterr().err
    found = json.loads(Path("out/results.json").read_text(encoding="utf-8"))
    assert found["interval_fs"] == 2.0
    assert found["total_km_per_mol"] > 0.0


def test_a_range_without_a_wavenumber_is_refused(here, capfd):
    trajectory("run.extxyz", dipoles(1)[:400])
    found = error_of(capfd, "run.extxyz", "--resolution", 200, "--highest", 1)
    assert found.startswith("--highest: must be at least 34.7")
    assert not Path("run_infrared").exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.3, "infrared: the dipole moment is the same in all frames"),
        (np.nan, "run.extxyz: frame 7: the dipole moment is not finite"),
    ],
)
def test_dipoles_without_a_spectrum_are_refused(here, capfd, value, message):
    moments = np.full((400, 3), 0.3)
    moments[7, 1] = value
    trajectory("run.extxyz", moments)
    assert message in error_of(capfd, "run.extxyz", "--resolution", 200)
    assert not Path("run_infrared").exists()
