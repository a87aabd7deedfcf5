"""Kernels of the wheel against kernels built on this machine: CPU time of training steps, in turns.

    python tools/prebuild_kernels.py
    python benchmarks/prebuilt.py [--rounds N] [--presets S M]

The same model does the same step on the frame of ``benchmarks/speed`` (192 atoms of water), with the libraries of each
level that the processor supports and with those that the compiler here makes for exactly this processor. Writes
``benchmarks/results/prebuilt.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "speed"))

import systems
import torch

import equipot.model
from equipot.data import frame_from_atoms
from equipot.data.transforms import default_transforms
from equipot.graph import collate
from equipot.model import apply_modifier
from equipot_kernels._build import cache, prebuilt, registry, toolchain

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--presets", nargs="+", default=["S", "M"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for builder in ("PresetNequIPGNNModel", "PresetAllegroModel"):
        for preset in args.presets:
            times = _times(builder, preset, args.rounds)
            native = times.pop("native")
            for level, held in times.items():
                ratios = {
                    "of_least": min(held) / min(native),
                    "of_medians": statistics.median(held) / statistics.median(native),
                }
                found[f"{builder} {preset}, {level}"] = {**ratios, "least_ms": 1e3 * min(held)}
                shown = f"{ratios['of_least']:.3f} (least), {ratios['of_medians']:.3f} (median)"
                print(f"{builder} {preset}, {level}: CPU time / that of a native build: {shown}", flush=True)
    facts = {"rounds": args.rounds, "native": toolchain.find_compiler().flags[-2:], "ratios": found}
    (RESULTS / "prebuilt.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _times(builder: str, preset: str, rounds: int) -> dict[str, list[float]]:
    """CPU seconds of a step with native libraries and with those of each level, in turns."""
    step = _step(builder, preset)
    levels = [level for level in prebuilt.supported() if level in prebuilt.available()]
    functions = {origin: _loaded_with(origin, step) for origin in ("native", *levels)}
    times: dict[str, list[float]] = {origin: [] for origin in functions}
    for _ in range(rounds):
        for origin, held in functions.items():
            registry._functions = held  # noqa: SLF001 - where ops look their functions up
            start = time.process_time()
            step()
            times[origin].append(time.process_time() - start)
    return times


def _loaded_with(origin: str, step: Callable[[], None]) -> Any:
    """The functions that a step calls, from libraries of one origin."""
    levels = () if origin == "native" else (origin,)
    registry._functions, cache._loaded, cache._origins = {}, {}, {}  # noqa: SLF001
    before, prebuilt.supported = prebuilt.supported, lambda: levels
    try:
        step()
    finally:
        prebuilt.supported = before
    expected = {origin} if levels else {cache.BUILT, cache.CACHED}
    if not set(cache.origins()) <= expected:
        sys.exit(f"{origin}: kernels come from {cache.origins()}; run tools/prebuild_kernels.py")
    return registry._functions  # noqa: SLF001


def _step(builder: str, preset: str) -> Callable[[], None]:
    names = ["H", "O"]
    recipe = getattr(equipot.model, builder)(preset=preset, type_names=names, r_max=5.0, avg_num_neighbors=52.0)
    model = apply_modifier(recipe.build(), "enable_FusedKernels").train()
    frame = frame_from_atoms(systems.water(), {})[0]
    for transform in default_transforms(model.info):
        frame = transform(frame)
    batch = collate([frame])
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def step() -> None:
        out = model(batch)
        loss = out["forces"].square().mean() + out["total_energy"].square().mean()
        torch.autograd.grad(loss, parameters, allow_unused=True)

    return step


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EQUIPOT_CACHE_DIR"] = folder
        main()
