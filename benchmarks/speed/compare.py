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

INFERENCE = ("core", "core-aoti", "fused", "fused-aoti", "splines", "splines-aoti")
TRAINING = ("core-train", "fused-train", "splines-train")
DYNAMICS = ("core-ase", "fused-ase", "splines-ase", "splines-jit")
GROUPS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "model": ("aoti", ("eager", "aoti"), INFERENCE),
    "train": ("train", ("train",), TRAINING),
    "ase": ("ase", ("ase",), DYNAMICS),
}
"""What is timed: the peer's mode that ratios refer to, the peer's modes and ours."""

TOLERANCE = {"float32": 2e-5, "float64": 1e-9}
"""Largest difference of forces allowed, relative to their root mean square, for exact modes."""

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
    modes += [("equipot", mode) for mode in INFERENCE if _is_wanted(mode, settings)]
    return _run(case, settings, {**pythons, "equipot": settings.ours_python}, modes, check=False)


def _run(
    case: Case, settings: Settings, pythons: dict[str, str], modes: list[tuple[str, str]], *, check: bool
) -> dict[str, Any]:
    folder = settings.work / (case.name if check else f"{case.name}_others")
    folder.mkdir(parents=True, exist_ok=True)
    stale = [] if settings.keep_compiled else [*folder.glob("*.equipot.pt2")]
    for old in (*stale, *folder.glob("peer_weights.pt")):
        old.unlink()
    files = {"case": folder / "case.json", "batch": folder / "batch.npz", "folder": folder}
    options = case.hyperparameters
    sizes = systems.write(files["batch"], systems.system(case.system), case.type_names, options["r_max"])
    files["case"].write_text(json.dumps({**asdict(case), "hyperparameters": options}))
    common: dict[str, Any] = {"threads": settings.threads, "allocator": settings.allocator, "log": folder / "log.txt"}
    workers = {side: Worker(side, python, files, **common) for side, python in pythons.items()}
    prepared = {f"{side}/{mode}": workers[side].ask("prepare", mode) for side, mode in modes}
    failed = {key: answer["error"] for key, answer in prepared.items() if "error" in answer}
    for key, reason in failed.items():
        print(f"  {key} left out: {reason}")
    modes = [(side, mode) for side, mode in modes if f"{side}/{mode}" not in failed]
    agreement = _agreement(case, workers, modes, folder) if check else {}
    calls = {key: _calls(workers, key, settings.seconds) for key in (f"{side}/{mode}" for side, mode in modes)}
    times = in_turns(workers, modes, settings.rounds, calls)
    for worker in workers.values():
        worker.stop()
    return {
        "case": case.name,
        "sizes": sizes,
        "hyperparameters": options,
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
        if group == "ase" and case.system != "water":
            continue
        _, peers, ours = GROUPS[group]
        if settings.peer_python:
            eager_only = not settings.peer_compiled
            modes += [("nequip", mode) for mode in peers if not (eager_only and mode in ("aoti", "ase"))]
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
    """Largest differences from the peer's eager model; raises if an exact mode differs."""
    if ("nequip", "eager") not in modes:
        return {}
    outputs = {}
    for side, mode in modes:
        if mode.endswith(("ase", "jit", "train")):
            continue
        path = folder / "outputs.npz"
        workers[side].ask("outputs", mode, path=str(path))
        outputs[f"{side}/{mode}"] = dict(np.load(path))
    reference = outputs["nequip/eager"]
    scale = float(np.sqrt(np.square(reference["forces"]).mean()))
    found = {}
    for key, one in outputs.items():
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


def _ratios(times: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, dict[str, float]]]:
    """Ours against the peer's best of the same kind."""
    found = {}
    for best, peers, ours in GROUPS.values():
        reference = next((key for key in (f"nequip/{best}", f"nequip/{peers[0]}") if key in times), "")
        for mode in ours:
            if reference in times and f"equipot/{mode}" in times:
                found[mode] = {
                    clock: ratio(times[reference], times[f"equipot/{mode}"], clock) for clock in ("cpu", "wall")
                }
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
