"""How long a step takes: measured by a short run on the real data."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import lightning
import yaml
from pydantic import Field

from equipot.errors import ConfigError, problem
from equipot.files import write_json, write_text
from equipot_fit._commands import call

WARM_UP = 3
"""Steps before the clock starts: in the first ones kernels are compiled and caches filled."""

SECONDS, STEPS = 2.0, 200
"""The steps that are timed: as many as fit into this time, at most so many; at least one. Their later half counts: with
5 ms a step, the first 50 or so take up to twice as long as those of the training."""

INTERRUPTED = 128
"""Exit codes from here on come from signals."""

NEVER = 10**9
"""Steps between two validations of a run that has far fewer."""

MOST_SLOWED = 8.0
"""More than so many times as long as on an idle machine nothing is expected to take."""

EVALUATION_COST = 0.35
"""What evaluating a frame costs in terms of what it costs in a training step."""

SPEED = "speed.json"
"""File that the timer leaves in the folder of its run."""


@dataclass(frozen=True)
class StepTime:
    """What a training of a model costs, in seconds."""

    step: float
    """One training step."""
    validation: float
    """One pass over the validation sets."""
    start_up: float
    """Everything before the first step: reading data, statistics, building the model."""
    warm_up: float = 0.0
    """What the first steps take longer than later ones."""
    last_layer: int = 0
    """Number of weights of the model's last linear layer; 0 if it does not say which they are."""
    frames: dict[str, int] = field(default_factory=dict)
    """Number of frames of each part: ``train``, ``val`` and ``test``."""
    atoms: float = 0.0
    """Mean number of atoms of a frame; 0 if unknown."""


class Slowness:
    """How many times as long things take lately as on a machine that does nothing else.

    It goes by the clock and by what the processors have worked for this thread meanwhile.
    """

    def __init__(self) -> None:
        self.worked = time.thread_time
        self.factor = 1.0
        self._seen: deque[tuple[float, float]] = deque()

    def start(self, now: float) -> None:
        """Begin to look.

        Args:
            now: Seconds of the clock.
        """
        self._seen.append((now, self.worked()))

    def look(self, now: float, window: float) -> None:
        """Look at the last seconds.

        Args:
            now: Seconds of the clock.
            window: How many of them count.
        """
        self._seen.append((now, self.worked()))
        while len(self._seen) > 2 and self._seen[1][0] < now - window:
            self._seen.popleft()
        (began, before), (ended, after) = self._seen[0], self._seen[-1]
        self.factor = min(max((ended - began) / max(after - before, 1e-9), 1.0), MOST_SLOWED)


class StepTimer(lightning.Callback):
    """Measures the seconds of training steps and of a validation, writes ``speed.json`` and ends the run.

    Args:
        seconds: Time for the steps that are measured.
        steps: Most of them.
    """

    def __init__(
        self, seconds: Annotated[float, Field(gt=0)] = SECONDS, steps: Annotated[int, Field(ge=1)] = STEPS
    ) -> None:
        self.seconds, self.steps = seconds, steps
        self._started = self._warm = self._validating = 0.0
        self._ends: list[float] = []
        self._sizes: list[int] = []
        self._found: dict[str, Any] = {}

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Keep the moment of the first step, and the sizes of the last layer and of the sets."""
        self._started = time.monotonic()
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        weights = pl_module.model.energy.last_layer()  # type: ignore[union-attr, operator]
        frames = dict.fromkeys(("train", "val", "test"), 0)
        for name in data.set_names:
            frames[name.rstrip("0123456789")] += len(data.dataset(name))
        self._found = {"last_layer": 0 if weights is None else weights.numel(), "frames": frames}

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Time the step."""
        del pl_module, outputs, batch_idx
        self._sizes += batch["num_atoms"].tolist()
        now, done = time.monotonic(), trainer.global_step - WARM_UP
        if done <= 0:
            self._warm = now
            return
        self._ends.append(now)
        if now - self._warm >= self.seconds or done >= self.steps:
            early = done // 2
            begun = self._ends[early - 1] if early else self._warm
            each = (now - begun) / (done - early)
            warm_up = max(begun - self._started - (WARM_UP + early) * each, 0.0)
            atoms = sum(self._sizes) / max(len(self._sizes), 1)
            self._found |= {"started": self._started, "step": each, "warm_up": warm_up, "atoms": atoms}
            trainer.should_stop = True

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clock of the validation."""
        del trainer, pl_module
        self._validating = time.monotonic()

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Time it: the first one, after the warm-up, compiles too, and only the one at the end of the run counts."""
        del pl_module
        now = time.monotonic()
        self._found["validation"] = now - self._validating
        if trainer.global_step <= WARM_UP:
            trainer.val_check_batch = NEVER
            self._warm = now

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write what was found."""
        del pl_module
        write_json(Path(trainer.default_root_dir) / SPEED, self._found)


def timing_config(config: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """The config of the run that is timed: without schedule, logs and checkpoints."""
    made: dict[str, Any] = copy.deepcopy(dict(config))
    made["run"] = ["train"]
    made["training_module"].pop("lr_scheduler", None)
    trainer = made["trainer"] = {"_target_": "lightning.Trainer", **made.get("trainer", {})}
    for name in ("limit_train_batches", "max_time", "max_steps"):
        trainer.pop(name, None)
    timer = {"_target_": "equipot_fit.StepTimer", "seconds": seconds}
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    validates = {"max_epochs": -1, "check_val_every_n_epoch": None, "val_check_interval": WARM_UP}
    made["trainer"] = {**trainer, **quiet, **validates, "callbacks": [timer]}
    return made


class NoTimeError(Exception):
    """There is no time to measure another config."""


class Measured:
    """``step_seconds`` that remembers what it has measured.

    Args:
        seconds: Time for the steps that are measured.
        until: After this moment, by ``time.monotonic``, nothing but a first config is measured.
    """

    def __init__(self, seconds: float = SECONDS, until: float = math.inf) -> None:
        self.seconds, self.until = seconds, until
        self.found: dict[str, StepTime] = {}

    def __call__(self, config: Mapping[str, Any]) -> StepTime:
        """Measure a config, or look it up.

        Raises:
            NoTimeError: If there is no time for another one.
        """
        key = _key(config)
        if key not in self.found:
            if self.found and time.monotonic() > self.until:
                raise NoTimeError
            self.found[key] = step_seconds(config, seconds=self.seconds)
        return self.found[key]


def _key(config: Mapping[str, Any]) -> str:
    """What the times depend on: other parts of a config may change."""
    return json.dumps([config.get("data"), config.get("training_module", {}).get("model")], sort_keys=True)


def step_seconds(config: Mapping[str, Any], *, seconds: float = SECONDS) -> StepTime:
    """Measure what a training with a config costs, on its own data and with the kernels that it would have.

    The first steps are not counted, and neither is what is compiled in them. Nothing of the run is left.

    Args:
        config: A whole config.
        seconds: Time for the steps that are measured.

    Raises:
        ConfigError: If the run does not come to its end, with what it said.
        SystemExit: If a signal ends it.
    """
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = timing_config(config, seconds)
        write_text(folder / "speed.yaml", yaml.safe_dump(made, sort_keys=False))
        said, wrong = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(wrong):
            code = call("train", str(folder / "speed.yaml"), "--output", str(folder / "run"))
        path = folder / "run" / SPEED
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if code >= INTERRUPTED:
        raise SystemExit(code)
    if code or "step" not in found:
        text = wrong.getvalue().strip().splitlines()
        raise ConfigError(
            [line.removeprefix("error: ") for line in text if line.startswith("error: ")]
            or problem("plan", f"a short run of it ended with exit code {code}", hint=text[-1] if text else "")
        )
    return StepTime(
        step=found["step"],
        validation=found.get("validation", 0.0),
        start_up=found["started"] - begun,
        warm_up=found["warm_up"],
        last_layer=found["last_layer"],
        frames=found["frames"],
        atoms=found["atoms"],
    )
