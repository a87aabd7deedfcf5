"""From the start of ``equipot train`` to the end of its first training step, with empty caches and again.

    python first_step.py CONFIG.json     (what ``python benchmarks/speed rows start`` runs as processes of their own)

The end of the first step is that of its backward pass and of the optimizer, by the program that was made for it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import whole
from cases import Case
from compare import Settings
from interleave import environment, summary

TURNS = ("cold", "cached")
PARTS = ("wall", "cpu", "imports_wall")


def measure(case: Case, settings: Settings) -> dict[str, Any]:
    """Starts with empty caches and starts right after them, in turns.

    Args:
        case: Its model is trained on the frames of the row ``training``.
        settings: Rounds, threads, allocator.
    """
    folder = settings.work / f"{case.name}_start"
    folder.mkdir(parents=True, exist_ok=True)
    whole.write_frames(folder)
    rows: dict[str, list[dict[str, float]]] = {turn: [] for turn in TURNS}
    for _ in range(settings.rounds):
        shutil.rmtree(folder / "cache", ignore_errors=True)
        for turn in TURNS:
            rows[turn].append(_process(case, folder, settings))
            print(f"  {case.name}, {turn}: {rows[turn][-1]}", flush=True)
    return {
        "case": case.name,
        "versions": whole.versions(["equipot/default"], settings),
        "first_step": {turn: {part: summary([row[part] for row in rows[turn]]) for part in PARTS} for turn in TURNS},
    }


def _process(case: Case, folder: Path, settings: Settings) -> dict[str, float]:
    """Seconds of one start."""
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    config = whole.config(case, "equipot", "default", folder, work, epochs=1)
    (work / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
    variables = environment(settings.threads, settings.allocator, settings.ours_python)
    caches = {name: str(folder / "cache" / name) for name in ("EQUIPOT_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")}
    variables |= {**caches, "EQUIPOT_AUTOMATIC_MODIFIERS": "1"}
    start = time.time()
    command = [settings.ours_python, __file__, "config.yaml"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False, env=variables)
    answers = [line for line in done.stdout.splitlines() if line.startswith("@")]
    if not answers:
        raise SystemExit(f"{case.name}: the training ended before its first step: {done.stderr.strip()[-300:]}")
    found = json.loads(answers[-1][1:])
    return {"wall": found["stepped"] - start, "cpu": found["cpu"], "imports_wall": found["imported"] - start}


def main() -> None:
    """Train until the first step is done, print when, and end."""
    from equipot._cli.train import main as train
    from equipot.train import EMALightningModule

    imported = time.time()
    after_batch = EMALightningModule.on_train_batch_end

    def stop(module: Any, *args: Any) -> None:
        after_batch(module, *args)
        cpu = sum(os.times()[:4])  # compilers included
        print("@" + json.dumps({"imported": imported, "stepped": time.time(), "cpu": cpu}), flush=True)
        os._exit(0)

    EMALightningModule.on_train_batch_end = stop  # type: ignore[method-assign, assignment]
    sys.argv = ["equipot-train", sys.argv[1], "--output", "run"]
    train()


if __name__ == "__main__":
    main()
