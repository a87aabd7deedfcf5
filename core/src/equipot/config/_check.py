"""Check a whole config before data are read: every problem at once, each with its place.

What is cheap is made for real (model recipes with sample statistics, the data module, losses and
metrics), so that problems between options are found as well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from equipot.config import _cross_checks as cross_checks
from equipot.config._aliases import translate
from equipot.config._instantiate import Walker
from equipot.config._load import OPTIONAL_KEYS, SECTIONS, used_root_keys
from equipot.config._resolve import BAD, Statistic, resolve_phase1
from equipot.config._targets import AllowList, TargetError, resolve_target
from equipot.errors import ConfigError, did_you_mean, problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omegaconf import DictConfig

    from equipot.model._recipe import ModelRecipe

STAGES = ("train", "val", "test")

MODEL = "training_module.model"

DEFERRED: dict[str, tuple[str, ...]] = {
    "training_module.optimizer": ("params",),
    "training_module.lr_scheduler": ("optimizer",),
}
"""Sections whose objects need what exists only later."""


@dataclasses.dataclass
class Checked:
    """A config without problems, and what the check made of it."""

    config: DictConfig
    """As composed, unresolved; names of other programs are translated."""

    resolved: dict[str, Any]
    """Plain containers, statistics as markers."""

    stages: list[str]
    data: Any
    """The data module, bound to the model's types and radius."""

    recipe: ModelRecipe
    """The model's recipe with sample statistics; for its facts, not for building."""

    statistics: list[str]
    """Names of the statistics that the config uses."""

    labels: dict[str, dict[str, str]]
    """Set (``train``, ``val``, ``test``) to the labels it must have, each with the place that needs it."""

    allow: AllowList


def check_config(config: DictConfig, allow: AllowList | None = None, hydra: DictConfig | None = None) -> Checked:
    """Check a composed config.

    Args:
        config: From ``equipot.config._load.compose``.
        allow: Targets the user allowed on the command line.
        hydra: Hydra's own config, whose targets are checked too.

    Returns:
        What the check made.

    Raises:
        ConfigError: With all problems.
    """
    with _hydra_values(hydra):
        return _Check(config, allow or AllowList()).run(hydra)


@contextmanager
def _hydra_values(hydra: DictConfig | None) -> Iterator[None]:
    """Let ``${hydra:…}`` resolve although Hydra itself does not run; a folder's name is not known yet."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf, open_dict

    if hydra is None or HydraConfig.initialized():
        yield
        return
    values = OmegaConf.masked_copy(hydra, ["hydra"])
    with open_dict(values):
        values.hydra.runtime.output_dir = "outputs"
    HydraConfig.instance().set_config(values)
    try:
        yield
    finally:
        HydraConfig.instance().cfg = None


class _Check:
    """One check, with what its steps share."""

    def __init__(self, config: DictConfig, allow: AllowList) -> None:
        self.config, problems = translate(config)
        if problems:  # what is left of such a config would only give more problems
            raise ConfigError(problems)
        self.allow = allow
        self.resolved, self.problems = resolve_phase1(self.config)
        self.walker = Walker(allow, deferred=DEFERRED)
        self.statistics: dict[str, None] = {}

    def run(self, hydra: DictConfig | None) -> Checked:
        if hydra is not None:
            self.problems.extend(cross_checks.hydra_problems(hydra))
        self._root()
        stages = self._stages()
        objects = {name: self._visit(name) for name in ("data", "trainer")}
        self.walker.samples = self._sample
        self._visit("training_module")
        self.problems.extend(self.walker.problems)
        recipe = self._recipe()
        self._between_sections(objects["data"], recipe, stages)
        if self.problems:
            raise ConfigError(list(dict.fromkeys(self.problems)))
        assert recipe is not None  # noqa: S101 - for the type checker
        return Checked(
            self.config,
            self.resolved,
            stages,
            objects["data"],
            recipe,
            list(self.statistics),
            cross_checks.needed_labels(self.walker, stages),
            self.allow,
        )

    # ------------------------------------------------------------------- root

    def _root(self) -> None:
        from omegaconf import OmegaConf

        used = used_root_keys(OmegaConf.to_container(self.config, resolve=False))
        known = (*SECTIONS, *OPTIONAL_KEYS)
        for key in self.resolved:
            if key not in known and key not in used:
                hint = did_you_mean(key, known) or "a key of your own must be used by some ${interpolation}"
                self.problems.append(problem(key, "unknown key", hint=hint))
        for name in SECTIONS:
            if name not in self.resolved:
                self.problems.append(problem(name, "required section is missing"))
        seed = self.resolved.get("seed")
        if seed is not None and seed is not BAD and (not isinstance(seed, int) or isinstance(seed, bool)):
            self.problems.append(problem("seed", "must be an integer", got=seed))

    def _stages(self) -> list[str]:
        stages = self.resolved.get("run", [])
        if stages is BAD:
            return []
        if isinstance(stages, str):
            stages = [stages]
        if not isinstance(stages, list) or ("run" in self.resolved and not stages):
            self.problems.append(
                problem("run", "must be a list of stages", got=stages, hint=f"stages: {', '.join(STAGES)}")
            )
            return []
        for index, stage in enumerate(stages):
            if stage not in STAGES:
                hint = did_you_mean(str(stage), STAGES) or f"stages: {', '.join(STAGES)}"
                self.problems.append(problem(f"run.{index}", "is no stage", got=stage, hint=hint))
        if stages.count("train") > 1:
            self.problems.append(problem("run", "can train once", got=stages))
        return stages

    def _visit(self, section: str) -> Any:
        value = self.resolved.get(section, BAD)
        if value is BAD:
            return BAD
        if not isinstance(value, dict) or "_target_" not in value:
            self.problems.append(problem(section, "must be a mapping with _target_", got=_short(value)))
            return BAD
        return self.walker.visit(value, section)

    # ------------------------------------------------------------- statistics

    def _sample(self, marker: Statistic, path: str) -> Any:
        """A value of the statistic's type, or ``BAD`` after a problem."""
        manager = self.walker.built.get("data.stats_manager")
        raw = f"${{training_data_stats:{marker.name}}}"
        if manager is None:
            if "stats_manager" not in (self.resolved.get("data") or {}):
                hint = "add stats_manager: {_target_: equipot.data.CommonDataStatisticsManager} to data"
                self.walker.problems.append(
                    problem(path, "no statistics without data.stats_manager", got=raw, hint=hint)
                )
            return BAD
        names: Mapping[str, str] = manager.names()
        if marker.name not in names:
            hint = did_you_mean(marker.name, names) or f"statistics: {', '.join(names)}"
            self.walker.problems.append(problem(path, "unknown statistic", got=raw, hint=hint))
            return BAD
        self.statistics[marker.name] = None
        if names[marker.name] == "scalar":
            return 1.0
        types = self._type_names(path)
        if types is None:
            return BAD
        if names[marker.name] == "per_type":
            return dict.fromkeys(types, 1.0)
        return {f"{centre}_{neighbour}": 1.0 for centre in types for neighbour in types}

    def _type_names(self, path: str) -> list[str] | None:
        """Type names of the model that a per-type statistic is for, None if they have a problem."""
        section = self.resolved.get("training_module")
        node = section.get("model") if isinstance(section, dict) else None
        while isinstance(node, dict):
            names = node.get("type_names")
            if isinstance(names, list) and all(isinstance(name, str) for name in names):
                return names
            if not isinstance(node.get("model"), dict):
                break
            node = node["model"]
        made: Any = Walker(self.allow).visit(node, path) if isinstance(node, dict) else None
        return list(made.info().type_names) if hasattr(made, "info") else None

    # ------------------------------------------------------- between sections

    def _recipe(self) -> ModelRecipe | None:
        from equipot.model._recipe import ModelRecipe

        module = self.resolved.get("training_module")
        if not isinstance(module, dict) or "_target_" not in module:
            return None
        if "model" not in module:
            return None
        found = self.walker.built.get(MODEL)
        if isinstance(found, ModelRecipe):
            return found
        target = self.walker.targets.get(MODEL)
        if module["model"] is not BAD and (found is not None or target is None):
            if not isinstance(module["model"], dict) or "_target_" not in module["model"]:
                self.problems.append(problem(MODEL, "must be a mapping with _target_", got=_short(module["model"])))
            elif found is not None:
                self.problems.append(problem(f"{MODEL}._target_", "is no model", got=module["model"]["_target_"]))
        return None

    def _between_sections(self, data: Any, recipe: ModelRecipe | None, stages: list[str]) -> None:
        target = self.walker.targets
        self.problems.extend(cross_checks.kind_problems(target))
        self.problems.extend(cross_checks.trainer_problems(self.resolved, target))
        if recipe is not None:
            self.problems.extend(cross_checks.measure_problems(self.walker, recipe, getattr(data, "units", "metal")))
        self.problems.extend(cross_checks.callback_problems(self.walker))
        self.problems.extend(cross_checks.module_problems(self.resolved, self.walker, recipe, stages))
        if recipe is not None and hasattr(data, "bind"):
            self.problems.extend(cross_checks.binding_problems(data, recipe))


def _short(value: object) -> object:
    """A value short enough for a message."""
    return value if len(repr(value)) < 80 else f"{type(value).__name__} of {len(value)} items"  # type: ignore[arg-type]


__all__ = ["Checked", "TargetError", "check_config", "resolve_target"]
