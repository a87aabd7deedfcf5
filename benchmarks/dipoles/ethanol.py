"""Dipole moments of ethanol: errors with and without the head, and the infrared spectrum, for the docs.

    python benchmarks/dipoles/ethanol.py train FOLDER
    python benchmarks/dipoles/ethanol.py spectrum FOLDER --tblite-python PYTHON

``train`` trains ``examples/ethanol_dipoles.yaml``, and the same config without dipole moments. ``spectrum`` takes the
first model: harmonic spectra of it and of GFN2-xTB, for which PYTHON has tblite and ASE (``harmonic.py``), and runs of
molecular dynamics at 300 K by ``equipot md``. What is in FOLDER already is not computed again. Tables go to
``docs/results/dipoles`` and ``infrared``, the figure to ``docs/how-to/infrared.png``.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from ase.build import molecule
from ase.io import read, write

from equipot.files import write_json

ROOT = Path(__file__).resolve().parents[2]
RESULTS, FIGURE = ROOT / "docs/results/dipoles", ROOT / "docs/how-to/infrared.png"
CONFIG = ROOT / "examples/ethanol_dipoles.yaml"
RUNS, PICOSECONDS, APART = 4, 5.0, 1000
"""Runs without thermostat, their length, and the steps between their first frames in a run with thermostat."""
RESOLUTION = 20.0
ERRORS = {"dipole": "dipole", "per_atom_energy": "energy", "forces": "forces"}
BANDS = {"bends and rocks": (600, 1200), "CH deformations": (1200, 1700), "C-H": (2600, 3250), "O-H": (3250, 3900)}
"""Names of ranges in 1/cm whose largest peaks and whole intensities are compared."""


def call(*words: Any) -> float:
    """Run a command in the root of the repository; returns its CPU time in s."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([str(word) for word in words], cwd=ROOT, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def equipot(*words: Any) -> float:
    """Run a command of equipot."""
    return call(Path(sys.executable).with_name("equipot"), *words)


def about(command: str) -> dict[str, Any]:
    """What every table says of how it was made."""
    return {
        "command": f"OMP_NUM_THREADS=1 python benchmarks/dipoles/ethanol.py {command}",
        "machine": f"1 core, {platform.machine()}, no GPU",
        "versions": {one: version(one) for one in ("equipot", "torch", "ase")},
    }


# ---------------------------------------------------------------------------------------------- errors


def configs() -> dict[str, dict[str, Any]]:
    """The config of the example, and the same without dipole moments."""
    both = {name: yaml.safe_load(CONFIG.read_text(encoding="utf-8")) for name in ("with_dipoles", "without")}
    bare = both["without"]
    module = bare["training_module"]
    module["model"] = module["model"]["model"]
    for owner, key in (
        (bare["data"]["labels"], "dipole"),
        (module["loss"]["coeffs"], "dipole"),
        (module["val_metrics"], "labels"),
        (module["val_metrics"]["coeffs"], "dipole_mae"),
    ):
        del owner[key]
    return both


def trivial(run: Path) -> dict[str, float]:
    """RMSE of the mean of the training set for dipole moments (components) and energies, and of no forces."""
    split = json.loads((run / "splits.json").read_text(encoding="utf-8"))
    frames = read(ROOT / split["file"], ":")
    labels: dict[str, Any] = {
        "dipole": [one.get_dipole_moment() for one in frames],
        "per_atom_energy": [one.get_potential_energy() / len(one) for one in frames],
        "forces": [one.get_forces() for one in frames],
    }
    found = {}
    for key, values in labels.items():
        test, mean = np.array(values)[split["test"]], np.mean(np.array(values)[split["train"]], axis=0)
        found[key] = float(np.sqrt(np.mean((test - (0.0 if key == "forces" else mean)) ** 2)))
    return found


def train(folder: Path) -> None:
    """Train both, and write the table of test errors."""
    rows = []
    for (name, config), title in zip(configs().items(), ("energies, forces, dipoles", "energies, forces"), strict=True):
        run, clock = folder / name, folder / f"{name}.seconds"
        if not (run / "results.json").exists():
            path = folder / f"{name}.yaml"
            path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
            clock.write_text(f"{equipot('train', path, '--output', run):.1f}\n", encoding="utf-8")
        test = json.loads((run / "results.json").read_text(encoding="utf-8"))["test"]
        rows.append(
            [title, *cells({key: test.get(f"test0_epoch/{key}_rmse") for key in ERRORS}), float(clock.read_text())]
        )
    rows.append(["mean of the training set, no forces", *cells(trivial(folder / "with_dipoles")), ""])
    table = {
        "title": "Ethanol (ours, GFN2-xTB): energies, forces and dipole moments",
        "description": "130 training, 20 validation and 30 test frames; root mean square errors of the test frames.",
        "columns": ["trained on", "dipole, e Å", "energy, meV/atom", "forces, meV/Å", "CPU s of training"],
        "rows": rows,
        **about("train FOLDER"),
    }
    print(*rows, sep="\n")
    write_json(RESULTS / "ethanol.json", table)


def cells(errors: dict[str, float | None]) -> list[str]:
    """Errors as a table shows them: e Å, meV/atom and meV/Å."""
    scales, digits = (1.0, 1000.0, 1000.0), (4, 2, 1)
    return [
        "" if errors[key] is None else f"{scale * errors[key]:.{number}f}"
        for key, scale, number in zip(ERRORS, scales, digits, strict=True)
    ]


# -------------------------------------------------------------------------------------------- spectrum


def spectrum(folder: Path, tblite_python: str) -> None:
    """Harmonic spectra and that of dynamics; writes the table and the figure."""
    model, script = folder / "dipoles.equipot.zip", Path(__file__).with_name("harmonic.py")
    if not model.exists():
        equipot("package", "build", folder / "with_dipoles/best.ckpt", model)
    for name, words in (("gfn2", [tblite_python, script]), ("model", [sys.executable, script])):
        if not (folder / f"{name}.json").exists():
            call(*words, folder / f"{name}.json", *(["--model", model] if name == "model" else []))
    seconds, warmth = dynamics(folder, model), temperature_of(folder)
    frames = [folder / f"nve{index}/trajectory.extxyz" for index in range(RUNS)]
    given = ["--temperature", round(warmth, 1), "--resolution", RESOLUTION, "--output", folder / "infrared"]
    equipot("infrared", *frames, *given, "--overwrite")
    harmonic = {name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in ("gfn2", "model")}
    with (folder / "infrared/infrared.csv").open(encoding="utf-8", newline="") as file:
        wavenumbers, intensities = np.array([[float(one) for one in row] for row in list(csv.reader(file))[1:]]).T
    draw(harmonic, wavenumbers, intensities)
    write_json(RESULTS.parent / "infrared/ethanol.json", table(harmonic, wavenumbers, intensities, seconds, warmth))


def dynamics(folder: Path, model: Path) -> float:
    """A run with thermostat, and runs without from some of its frames; returns CPU seconds."""
    clock = folder / "dynamics.seconds"
    if clock.exists():
        return float(clock.read_text())
    write(folder / "ethanol.extxyz", molecule("CH3CH2OH"))
    warm = ["--temperature", 300, "--steps", (RUNS + 1) * APART, "--every", APART, "--log-every", 100]
    spent = equipot("md", model, folder / "ethanol.extxyz", *warm, "--output", folder / "warm", "--overwrite")
    free = ["--ensemble", "nve", "--keep-velocities", "--time", PICOSECONDS, "--every", 4, "--log-every", 100]
    runs = [folder / f"nve{index}" for index in range(RUNS)]
    for index, run in enumerate(runs):
        frame = ["--frame", index + 2, "--output", run, "--overwrite"]
        spent += equipot("md", model, folder / "warm/trajectory.extxyz", *free, *frame)
    clock.write_text(f"{spent:.1f}\n", encoding="utf-8")
    return spent


def temperature_of(folder: Path) -> float:
    """Mean of the runs without thermostat, K; their centre of mass is at rest, which ASE's temperature leaves out."""
    records = [json.loads((folder / f"nve{index}/results.json").read_text(encoding="utf-8")) for index in range(RUNS)]
    number = records[0]["structure"]["atoms"]
    return float(np.mean([one["averages"]["temperature_k"]["mean"] for one in records]) * number / (number - 1))


def table(
    harmonic: dict[str, Any], wavenumbers: Any, intensities: Any, seconds: float, warmth: float
) -> dict[str, Any]:
    """Peaks and intensities of each band."""
    lines = {name: (np.array(one["wavenumbers"]), np.array(one["intensities"])) for name, one in harmonic.items()}
    rows = []
    for name, (low, high) in BANDS.items():
        row: list[Any] = [f"{name}, {low} to {high}"]
        for places, strengths in lines.values():
            inside = (places > low) & (places < high)
            row += [f"{places[inside][strengths[inside].argmax()]:.0f}", f"{strengths[inside].sum():.0f}"]
        inside = (wavenumbers > low) & (wavenumbers < high)
        area = intensities[inside].sum() * (wavenumbers[1] - wavenumbers[0])
        rows.append([*row, f"{wavenumbers[inside][intensities[inside].argmax()]:.0f}", f"{area:.0f}"])
    differences = [lines["model"][index] - lines["gfn2"][index] for index in (0, 1)]
    sizes = [float(np.abs(one).mean()) for one in differences]
    print(*rows, f"mean deviations: {sizes}, largest {np.abs(differences[0]).max():.1f} 1/cm", sep="\n")
    heads = ["GFN2-xTB, harmonic", "model, harmonic", "model, dynamics"]
    return {
        "title": "Infrared spectrum of ethanol",
        "description": "Highest peak in 1/cm and whole intensity in km/mol of each band. Mean absolute deviation of "
        f"the harmonic model from GFN2-xTB: {sizes[0]:.1f} 1/cm (largest {np.abs(differences[0]).max():.0f}) and "
        f"{sizes[1]:.1f} km/mol over 21 vibrations. Dynamics: {RUNS} runs of {PICOSECONDS:g} ps, at {warmth:.0f} K "
        f"in the mean, {seconds:.0f} s of CPU time, lines {RESOLUTION:g} 1/cm wide.",
        "columns": ["band, 1/cm", *(f"{one}: {what}" for one in heads for what in ("peak", "intensity"))],
        "rows": rows,
        **about("spectrum FOLDER --tblite-python PYTHON"),
    }


def draw(harmonic: dict[str, Any], wavenumbers: Any, intensities: Any) -> None:
    """The spectrum of dynamics above, harmonic lines below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(wavenumbers, intensities, color="#0072B2", linewidth=1.0)
    above.set_ylabel("km/mol cm")
    above.set_title("model, molecular dynamics", fontsize=9)
    for name, colour, sign in (("gfn2", "#222222", 1.0), ("model", "#D55E00", -1.0)):
        values = sign * np.array(harmonic[name]["intensities"])
        label = {"gfn2": "GFN2-xTB", "model": "model"}[name]
        below.vlines(harmonic[name]["wavenumbers"], 0.0, values, color=colour, linewidth=1.5, label=label)
    below.axhline(0.0, color="#888888", linewidth=0.6)
    below.set_title("harmonic vibrations", fontsize=9)
    below.set_xlim(4000.0, 100.0)
    below.set_ylabel("km/mol")
    below.set_xlabel("wavenumber, 1/cm")
    below.legend(frameon=False, fontsize=8, loc="upper center")
    figure.savefig(FIGURE, dpi=110)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "spectrum"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tblite-python", default=sys.executable, help="a Python with tblite and ASE")
    given = parser.parse_args()
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for one in (RESULTS, RESULTS.parent / "infrared"):
        one.mkdir(parents=True, exist_ok=True)
    if given.what == "train":
        train(folder)
    else:
        spectrum(folder, given.tblite_python)


if __name__ == "__main__":
    main()
