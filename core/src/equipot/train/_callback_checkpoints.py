"""Checkpoints of a ``ModelCheckpoint`` in the config: what it keeps follows a run that is resumed.

Lightning's callback remembers paths. After a resume in another folder it forgets all but the best one, which it then
looks for in the old folder; and after a kill it takes the files of the steps that are trained again for those of
somebody else, and writes ``-v1`` next to them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from equipot.artifacts._checkpoint import load_plain
from equipot.errors import ArtifactError, ConfigError, problem
from equipot.files import atomic
from equipot.train._checkpoints import BEST, LAST, OBJECTIVE

_NONE_LEFT: dict[str, Any] = {"best_model_path": "", "best_model_score": None, "kth_best_model_path": ""}


class CallbackCheckpoints(lightning.Callback):
    """What the ``ModelCheckpoint`` callbacks of a run have written.

    Args:
        folder: Of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shared = {folder / BEST, folder / LAST}
        self._to_replace: set[Path] = set()

    def prepare(self, callbacks: Iterable[Any]) -> None:
        """Let callbacks without a folder write into that of the run, over files that are trained again only.

        Args:
            callbacks: All of the config.

        Raises:
            ConfigError: If two of them cannot be told apart in a checkpoint, or one would replace ``best.ckpt`` or
                ``last.ckpt`` by something else.
        """
        keys: set[str] = set()
        for callback in callbacks:
            if not isinstance(callback, ModelCheckpoint):
                continue
            if callback.dirpath is None:
                callback.dirpath = str(self.folder)
            self._check_names(callback)
            if callback.state_key in keys:
                hint = "let them differ in monitor, mode or in when they save"
                raise ConfigError(problem("trainer.callbacks", "two ModelCheckpoints cannot be told apart", hint=hint))
            keys.add(callback.state_key)
            callback.file_exists = self._is_taken  # type: ignore[method-assign] # no option for it

    def _check_names(self, callback: ModelCheckpoint) -> None:
        if Path(callback.dirpath or "") != self.folder:
            return
        if callback.filename == LAST.removesuffix(".ckpt") or (callback.save_last and callback.save_weights_only):
            raise ConfigError(problem("trainer.callbacks", f"would replace {LAST}, from which runs are resumed"))
        same = (callback.monitor, callback.mode, callback.save_top_k) == (OBJECTIVE, "min", 1)
        if callback.filename == BEST.removesuffix(".ckpt") and (callback.save_weights_only or not same):
            what = f"would replace {BEST}, which has the smallest {OBJECTIVE}"
            raise ConfigError(problem("trainer.callbacks", what, hint="choose another filename"))

    def _is_taken(self, filepath: str | Path, trainer: lightning.Trainer) -> bool:
        """Whether a file must stay; instead of Lightning's method, on all processes."""
        path, taken = Path(filepath).absolute(), False
        if trainer.is_global_zero:
            taken = path.exists() and path not in self._to_replace | self._shared
            self._to_replace.discard(path)
        return bool(trainer.strategy.reduce_boolean_decision(taken, all=False))

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Bring the states of the callbacks up to date before Lightning gives them out."""
        del pl_module
        states = checkpoint["callbacks"]
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, ModelCheckpoint) and callback.state_key in states:
                found: dict[str, Any] = {}
                if trainer.is_global_zero:
                    resumed = Path(str(trainer.ckpt_path)).absolute()
                    found = self._follow(callback, states[callback.state_key], checkpoint, resumed)
                states[callback.state_key] = trainer.strategy.broadcast(found)

    def _follow(
        self, callback: ModelCheckpoint, state: Mapping[str, Any], checkpoint: Mapping[str, Any], resumed: Path
    ) -> dict[str, Any]:
        """The state with the files that are there, in the folder of the callback; others are forgotten."""
        target, before = Path(str(callback.dirpath)), Path(str(state["dirpath"]))
        sources = [target, resumed.parent, before]
        if target.is_relative_to(self.folder):
            sources.insert(1, resumed.parent / target.relative_to(self.folder))
        for path in target.glob("*.ckpt"):
            if _step(path, checkpoint, trained_alike=True) > checkpoint["global_step"]:
                self._to_replace.add(path.absolute())
        best = state["best_model_path"]
        moved = {}
        for old in dict.fromkeys([*state["best_k_models"], best, state["last_model_path"]]):
            # without a limit the callback removes nothing, so that only the best one has to be at hand
            limited = callback.save_top_k > 0 or old == best
            if old and (new := _carried(Path(old).name, sources if limited else sources[:1], checkpoint)):
                moved[old] = new
        scores = {moved[old]: score for old, score in state["best_k_models"].items() if old in moved}
        return {
            **state,
            **_ranked(scores, callback),
            "dirpath": str(callback.dirpath),
            "last_model_path": moved.get(state["last_model_path"], ""),
            **({} if scores or best not in moved else {"best_model_path": moved[best]}),
        }


def _ranked(scores: dict[str, torch.Tensor], callback: ModelCheckpoint) -> dict[str, Any]:
    """The entries of a callback's state that follow from the scores of its files."""
    found = {**_NONE_LEFT, "best_k_models": scores, "kth_value": callback.kth_value}
    if not scores:
        return found
    ranked = sorted(scores, key=lambda path: float(scores[path]), reverse=callback.mode == "max")
    found |= {"best_model_path": ranked[0], "best_model_score": scores[ranked[0]]}
    if len(scores) == callback.save_top_k:
        found |= {"kth_best_model_path": ranked[-1], "kth_value": scores[ranked[-1]]}
    return found


def _carried(name: str, sources: list[Path], checkpoint: Mapping[str, Any]) -> str | None:
    """The file in the first folder, copied from another one if need be; None if that is not possible."""
    target = sources[0] / name
    for folder in sources:
        if not 0 <= _step(folder / name, checkpoint) <= checkpoint["global_step"]:
            continue
        if folder != sources[0]:
            if target.exists():
                return None
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic(target) as temporary:
                shutil.copyfile(folder / name, temporary)
        return str(target)
    return None


def _step(path: Path, checkpoint: Mapping[str, Any], *, trained_alike: bool = False) -> int:
    """The step of a checkpoint of the same run as another one, else -1.

    A run has the same frames and model all the time; if ``trained_alike``, the config may differ in the trainer only.
    """
    try:
        found = load_plain(path)
        pairs = [(one["equipot"]["data"]["frames"], one["equipot"]["model"]["config"]) for one in (found, checkpoint)]
        configs = [{**one["equipot"]["training_config"], "trainer": None} for one in (found, checkpoint)]
        same = pairs[0] == pairs[1] and (configs[0] == configs[1] or not trained_alike)
        return int(found["global_step"]) if same else -1
    except (ArtifactError, ValueError, KeyError, TypeError):
        return -1
