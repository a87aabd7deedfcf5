"""One case: prepare both sides, check that they agree, then time them in turns."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import systems
from cases import Case
from interleave import Worker, in_turns, ratio, summary

VARIANTS = ("core", "fused", "splines", "default")
GROUPS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "model": (("eager", "aoti"), tuple(f"{one}{how}" for one in VARIANTS for how in ("", "-aoti"))),
    "train": (("train", "train_compiled"), tuple(f"{one}-train" for one in VARIANTS)),
    "ase": (("ase_eager", "ase"), tuple(f"{one}-{how}" for one in VARIANTS for how in ("ase", "jit"))),
}
"""What is timed: the peer's modes and ours. Ratios refer to the peer's fastest mode of the group in that run."""

COMPILED = ("aoti", "train_compiled", "ase")
"""The peer's modes that take minutes to prepare."""

TOLERANCE = {"float32": 2e-5, "float64": 1e-9}
"""Largest difference of forces allowed, relative to their root mean square, for exact modes."""

LOSS_TOLERANCE = 1e-4
"""Largest relative difference of the losses of training steps."""

SPLINE_TOLERANCE = 1e-4
"""The same with radial splines; what is reached is reported."""


@dataclass(frozen=True)
class Settings:
    """What the command line decides."""

    work: Path
    peer_python: str | None
    ours_python: str
    rounds: int = 11
    threads: int = 1
    allocator: str = "kept"
    groups: tuple[str, ...] = ("model", "train", "ase")
    variants: tuple[str, ...] = ("core", "fused", "splines")
    modes: tuple[str, ...] | None = None
    """Only these of ours, if given."""
    peer_compiled: bool = True
    """Compile the peer's models, which takes minutes; without, ratios refer to its eager mode."""
    keep_compiled: bool = False
    """Take our compiled files of an earlier run with the same code; the check of outputs still holds."""
    seconds: float = 0.15
    """Least length of one timed run."""


def run_case(case: Case, settings: Settings) -> dict[str, Any]:
    """Everything about one case, as it goes into the JSON file."""
    pythons = {"nequip": settings.peer_python} if settings.peer_python else {}
    return _run(case, settings, {**pythons, "equipot": settings.ours_python}, _modes(case, settings), check=True)


def run_others(case: Case, settings: Settings, pythons: dict[str, str]) -> dict[str, Any]:
    """Models of comparable size with other mathematics than ours: times only, nothing to agree on."""
    modes = [(side, "eager") for side in pythons]
    modes += [("equipot", mode) for mode in GROUPS["model"][1] if _is_wanted(mode, settings)]
    return _run(case, settings, {**pythons, "equipot": settings.ours_python}, modes, check=False)


def run_ops(case: Case, settings: Settings) -> dict[str, Any]:
    """How many torch ops a call of each eager mode runs: one call, no times."""
    pythons = {"nequip": settings.peer_python} if settings.peer_python else {}
    modes = [one for one in _modes(case, settings) if not (one[0] == "nequip" and one[1] in COMPILED)]
    files, sizes = _files(case, settings, case.name)
    workers = _workers({**pythons, "equipot": settings.ours_python}, files, settings)
    found = {}
    for side, mode in modes:
        workers[side].ask("prepare", mode)
        found[f"{side}/{mode}"] = workers[side].ask("ops", mode)
    versions = {side: worker.versions for side, worker in workers.items()}
    _stop(workers)
    return {
        "case": case.name,
        "sizes": sizes,
        "versions": versions,
        "ops": {key: one["ops"] for key, one in found.items()},
        "names": {key: one["names"] for key, one in found.items()},
    }


def run_threads(case: Case, settings: Settings, modes: list[str]) -> dict[str, Any]:
    """Our modes with one and with two threads in turns, in processes of their own; wall times."""
    files, sizes = _files(case, settings, case.name)
    workers: dict[str, Worker] = {}
    for threads in (1, 2):
        workers |= _workers({"equipot": settings.ours_python}, files, settings, threads, f"_{threads}")
    found = {}
    for mode in modes:
        pairs = [(side, mode) for side in workers]
        for side, _ in pairs:
            workers[side].ask("prepare", mode)
        calls = {f"{side}/{mode}": _calls(workers, f"{side}/{mode}", settings.seconds) for side, _ in pairs}
        times = in_turns(workers, pairs, settings.rounds, calls)
        one, two = (times[f"equipot_{threads}/{mode}"] for threads in (1, 2))
        found[mode] = {
            "one_ms": summary([row["wall"] for row in one]),
            "two_ms": summary([row["wall"] for row in two]),
            "ratio": ratio(one, two, "wall"),
        }
    _stop(workers)
    return {"case": case.name, "sizes": sizes, "threads_of": found}


def _files(case: Case, settings: Settings, name: str) -> tuple[dict[str, Path], dict[str, int]]:
    """The files that workers read, and the sizes of the batch."""
    folder = settings.work / name
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("peer_weights.pt"):
        old.unlink()
    files = {"case": folder / "case.json", "batch": folder / "batch.npz", "folder": folder}
    options = case.hyperparameters
    sizes = systems.write(files["batch"], systems.SYSTEMS[case.system](), case.type_names, options["r_max"])
    files["case"].write_text(json.dumps({**asdict(case), "hyperparameters": options}))
    return files, sizes


def _workers(
    pythons: dict[str, str], files: dict[str, Path], settings: Settings, threads: int | None = None, suffix: str = ""
) -> dict[str, Worker]:
    common: dict[str, Any] = {
        "threads": threads or settings.threads,
        "allocator": settings.allocator,
        "log": files["folder"] / "log.txt",
    }
    return {f"{side}{suffix}": Worker(side, python, files, **common) for side, python in pythons.items()}


def _stop(workers: dict[str, Worker]) -> None:
    for worker in workers.values():
        worker.stop()


def _run(
    case: Case, settings: Settings, pythons: dict[str, str], modes: list[tuple[str, str]], *, check: bool
) -> dict[str, Any]:
    files, sizes = _files(case, settings, case.name if check else f"{case.name}_others")
    folder = files["folder"]
    for old in [] if settings.keep_compiled else [*folder.glob("*.equipot.pt2")]:
        old.unlink()
    workers = _workers(pythons, files, settings)
    prepared = {f"{side}/{mode}": workers[side].ask("prepare", mode) for side, mode in modes}
    failed = {key: answer["error"] for key, answer in prepared.items() if "error" in answer}
    for key, reason in failed.items():
        print(f"  {key} left out: {reason}")
    modes = [(side, mode) for side, mode in modes if f"{side}/{mode}" not in failed]
    agreement = _agreement(case, workers, modes, folder) if check else {}
    calls = {key: _calls(workers, key, settings.seconds) for key in (f"{side}/{mode}" for side, mode in modes)}
    times = in_turns(workers, modes, settings.rounds, calls)
    _stop(workers)
    return {
        "case": case.name,
        "sizes": sizes,
        "hyperparameters": case.hyperparameters,
        "versions": {side: worker.versions for side, worker in workers.items()},
        "prepare_seconds": {key: answer.get("seconds") for key, answer in prepared.items()},
        "failed": failed,
        "agreement": agreement,
        "calls_in_a_run": calls,
        "times_ms": {
            key: {clock: summary([one[clock] for one in found]) for clock in ("cpu", "wall")}
            for key, found in times.items()
        },
        "ratios": _ratios(times),
    }


def _modes(case: Case, settings: Settings) -> list[tuple[str, str]]:
    """Sides and modes in the order of a round."""
    modes = []
    for group in settings.groups:
        if group == "ase" and len(systems.SYSTEMS[case.system]()) > 1:
            continue
        peers, ours = GROUPS[group]
        if settings.peer_python:
            modes += [("nequip", mode) for mode in peers if settings.peer_compiled or mode not in COMPILED]
        modes += [("equipot", mode) for mode in ours if _is_wanted(mode, settings)]
    return modes


def _is_wanted(mode: str, settings: Settings) -> bool:
    if settings.modes is not None:
        return mode in settings.modes
    return mode.split("-", maxsplit=1)[0] in settings.variants


def _calls(workers: dict[str, Worker], key: str, seconds: float) -> int:
    side, mode = key.split("/")
    once = workers[side].ask("run", mode, calls=1)["wall"]
    return max(1, min(50, round(1e3 * seconds / once)))


def _agreement(
    case: Case, workers: dict[str, Worker], modes: list[tuple[str, str]], folder: Path
) -> dict[str, dict[str, float]]:
    """Largest differences from the peer's eager model; raises if an exact mode, or a loss, differs."""
    outputs = {}
    for side, mode in modes:
        if "ase" in mode or mode.endswith("jit"):
            continue
        path = folder / "outputs.npz"
        workers[side].ask("outputs", mode, path=str(path))
        outputs[f"{side}/{mode}"] = dict(np.load(path))
    _check_losses(case, {key: float(one["loss"]) for key, one in outputs.items() if "loss" in one})
    if ("nequip", "eager") not in modes:
        return {}
    reference = outputs["nequip/eager"]
    scale = float(np.sqrt(np.square(reference["forces"]).mean()))
    found = {}
    for key, one in outputs.items():
        if "loss" in one:
            continue
        difference = float(np.abs(one["forces"] - reference["forces"]).max())
        energy = float(np.abs(one["total_energy"] - reference["total_energy"]).max() / len(reference["forces"]))
        found[key] = {"forces": difference, "relative_forces": difference / scale, "energy_per_atom": energy}
        allowed = SPLINE_TOLERANCE if "splines" in key else TOLERANCE[case.hyperparameters["model_dtype"]]
        if difference > allowed * scale:
            raise SystemExit(
                f"{case.name}, {key}: forces differ by {difference:.2g} eV/Å (rms {scale:.2g}); "
                f"no times are compared before the models agree"
            )
    return found


def _check_losses(case: Case, losses: dict[str, float]) -> None:
    expected = losses.get("nequip/train")
    for key, loss in losses.items():
        if expected is not None and abs(loss - expected) > LOSS_TOLERANCE * abs(expected):
            raise SystemExit(f"{case.name}, {key}: the loss is {loss}, the peer's {expected}; no times are compared")


def _ratios(times: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, dict[str, float]]]:
    """Ours against the peer's best of the same kind."""
    found = {}
    for peers, ours in GROUPS.values():
        there = [times[f"nequip/{mode}"] for mode in peers if f"nequip/{mode}" in times]
        if not there:
            continue
        best = min(there, key=lambda rows: summary([row["cpu"] for row in rows])["median"])
        for mode in ours:
            if f"equipot/{mode}" in times:
                found[mode] = {clock: ratio(best, times[f"equipot/{mode}"], clock) for clock in ("cpu", "wall")}
    return found


def machine() -> dict[str, str]:
    """The kind of machine, as far as it can be known."""
    import os
    import platform

    model = platform.processor() or platform.machine()
    flags = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
        named = {key.strip(): value.strip() for key, value in lines.items()}
        model, flags = named.get("model name", model), named.get("flags", "")
    instructions = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else ""
    return {
        "cpu": model,
        "instructions": instructions,
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }
