"""Check a whole config before data are read, and list all of its problems with their places.

Cheap objects are really made (model recipes with sample statistics, the data module, losses and metrics),
which also finds problems between options.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from equipot.config import _cross_checks as cross_checks
from equipot.config._aliases import translate
from equipot.config._defaults import Filled, named_defaults
from equipot.config._elements import automatic, sample_elements, with_elements, with_energies
from equipot.config._folders import Folders
from equipot.config._instantiate import ConfigObjects
from equipot.config._loggers import logger_words
from equipot.config._resolve import BAD, MAX_PROBLEMS, Statistic, resolve_phase1, with_references
from equipot.config._sections import MODEL, ROOT_KEYS, SECTIONS, STAGES, used_root_keys
from equipot.config._targets import AllowList
from equipot.config._trainer_rules import trainer_problems
from equipot.containers import leaves
from equipot.errors import ConfigError, did_you_mean, problem, unknown
from equipot.model._recipe import ModelRecipe

_MAX_TYPES = 500
"""Types in samples of statistics: those of pairs have as many values as the square."""


@dataclasses.dataclass
class Checked:
    """A config without problems, and the objects that the check has made."""

    config: DictConfig
    """The composed, unresolved config with names of other programs translated."""

    resolved: dict[str, Any]
    """The config in plain containers, with markers for statistics."""

    stages: list[str]
    data: Any
    """The data module, bound to the model's types and radius."""

    recipe: ModelRecipe
    """The model's recipe with sample statistics; good for ``info``, not for building."""

    statistics: list[str]
    """Names of the statistics that the config uses."""

    labels: dict[str, dict[str, str]]
    """For each part (``train``, ``val``, ``test``) the labels it must have, and which option needs them."""

    environment: list[str]
    """Places whose values come from ``${oc.env:…}``; what is stored of the config keeps the reference."""

    allow: AllowList

    filled: Mapping[str, Filled] = dataclasses.field(default_factory=dict)
    """The defaults that were put in, by place."""

    open_types: OpenTypes | None = None
    """Set if the types are the elements of the data, which the check does not know: it took some sample elements."""


@dataclasses.dataclass
class OpenTypes:
    """A config whose types are the elements of the data."""

    config: DictConfig
    places: list[str]
    """Where it says ``auto``."""

    def settled(self, elements: Sequence[str]) -> DictConfig:
        """The config with the elements in these places."""
        return with_elements(self.config, self.places, elements)


def check_config(
    config: DictConfig,
    allow: AllowList | None = None,
    hydra: DictConfig | None = None,
    filled: Mapping[str, Filled] | None = None,
) -> Checked:
    """Check a composed config; a ConfigError lists all problems.

    Args:
        config: Unresolved, as composed.
        allow: What the command line allows.
        hydra: Hydra's own config, for ``${hydra:…}`` where Hydra does not run.
        filled: The defaults in the config, which messages call so.
    """
    try:
        with _hydra_values(hydra):
            checked = _Check(config, allow or AllowList()).run()
    except ConfigError as error:
        raise ConfigError(named_defaults(error.problems, filled or {})) from None
    return dataclasses.replace(checked, filled=filled or {})


@contextmanager
def _hydra_values(hydra: DictConfig | None) -> Iterator[None]:
    """Make ``${hydra:…}`` resolve although Hydra does not run; the output folder is not known yet."""
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
    """One check; its steps share the attributes."""

    def __init__(self, config: DictConfig, allow: AllowList) -> None:
        self.config, problems = translate(config)
        if problems:  # checking the rest would only give misleading problems
            raise ConfigError(problems)
        self.allow = allow
        self.resolved, self.problems = resolve_phase1(self.config)
        self.open_types: OpenTypes | None = None
        self.used = used_root_keys(OmegaConf.to_container(self.config, resolve=False))
        self._follow_elements()
        self.objects = ConfigObjects(allow)
        self.statistics: dict[str, None] = {}

    def run(self) -> Checked:
        run = HydraConfig.get().runtime.output_dir if HydraConfig.initialized() else None
        self.problems.extend(Folders(self.allow.given, run).config_problems(self.resolved))
        self._root()
        stages = self._stages()
        data = self._section("data")
        self._section("trainer")
        self.objects.samples = self._sample
        self._refuse_model_without_class()
        self._section("training_module")
        self.problems.extend(self.objects.problems)
        recipe = self._recipe()
        self._between_sections(data, recipe, stages)
        if self.problems or recipe is None:
            raise ConfigError(_shown(list(dict.fromkeys(self.problems))))
        return Checked(
            config=self.config,
            resolved=self.resolved,
            stages=stages,
            data=data,
            recipe=recipe,
            statistics=list(self.statistics),
            labels=cross_checks.needed_labels(self.objects, stages),
            environment=self._environment(),
            allow=self.allow,
            open_types=self.open_types,
        )

    def _follow_elements(self) -> None:
        """Replace entries that follow from elements."""
        if places := automatic(self.config, self.resolved):
            self.open_types = OpenTypes(self.config, places)
            self.config = self.open_types.settled(sample_elements(self.config))
            self.resolved, self.problems = resolve_phase1(self.config)
        replaced, problems = with_energies(self.config, self.resolved, all_types=not places)
        if replaced is not self.config:
            self.config = replaced
            self.resolved, self.problems = resolve_phase1(self.config)
        self.problems.extend(problems)

    def _environment(self) -> list[str]:
        """Places whose values come from the environment."""
        references = with_references(self.config)
        if references is None:
            return []
        written = dict(leaves(references))
        return [path for path, value in leaves(self.resolved) if written.get(path, BAD) != value]

    # ------------------------------------------------------------------- root

    def _root(self) -> None:
        for key in self.resolved:
            if key not in ROOT_KEYS and key not in self.used and len(self.problems) < 2 * MAX_PROBLEMS:
                hint = did_you_mean(key, ROOT_KEYS) or "a key of your own must be used by some ${interpolation}"
                self.problems.append(unknown(key, key, ROOT_KEYS, "key", hint=hint))
        for name in SECTIONS:
            if name not in self.resolved:
                self.problems.append(problem(name, "required section is missing"))
        seed = self.resolved.get("seed")
        if seed is not None and seed is not BAD and type(seed) is not int:
            self.problems.append(problem("seed", "must be an integer", got=seed))

    def _stages(self) -> list[str]:
        stages = self.resolved.get("run", [])
        if stages is BAD:
            return []
        if isinstance(stages, str):
            stages = [stages]
        if not isinstance(stages, list) or ("run" in self.resolved and not stages):
            hint = f"stages: {', '.join(STAGES)}"
            self.problems.append(problem("run", "must be a list of stages", got=stages, hint=hint))
            return []
        for index, stage in enumerate(stages):
            if stage is not BAD and not (isinstance(stage, str) and stage in STAGES):
                self.problems.append(unknown(f"run.{index}", str(stage), STAGES, "stage"))
        if stages.count("train") > 1:
            self.problems.append(problem("run", "can train once", got=stages))
        return [stage for stage in stages if isinstance(stage, str) and stage in STAGES]

    def _section(self, name: str) -> Any:
        """Make the object of a section; ``BAD`` after a problem."""
        value = self.resolved.get(name, BAD)
        if value is BAD:
            return BAD
        if not isinstance(value, dict) or "_target_" not in value:
            self._no_target(name, value)
            return BAD
        if name == "trainer" and logger_words(value.get("logger")):
            value = {**value, "logger": True}
        return self.objects.make(value, name)

    def _refuse_model_without_class(self) -> None:
        """Say that the model names no class: the one class without a default; nothing more is said of the model."""
        module = self.resolved.get("training_module")
        model = module.get("model") if isinstance(module, dict) else None
        if isinstance(module, dict) and isinstance(model, dict) and "_target_" not in model:
            hint = "name the class of the model; equipot describe lists them"
            self.problems.append(problem(MODEL, "required key _target_ is missing", hint=hint))
            self.resolved = {**self.resolved, "training_module": {**module, "model": BAD}}

    def _no_target(self, path: str, value: Any) -> None:
        self.problems.append(problem(path, "must be a mapping with _target_", got=value))

    # ------------------------------------------------------------- statistics

    def _sample(self, marker: Statistic, path: str) -> Any:
        """A sample value of a statistic, which is not computed yet; ``BAD`` after a problem."""
        manager: Any = self.objects.built.get("data.stats_manager")
        if not callable(getattr(manager, "names", None)):
            data = self.resolved.get("data")
            if isinstance(data, dict) and "stats_manager" not in data:
                hint = "add stats_manager: {_target_: equipot.data.CommonDataStatisticsManager} to data"
                text = problem(path, "statistics need data.stats_manager", got=marker.raw, hint=hint)
                self.objects.problems.append(text)
            return BAD
        kinds: Mapping[str, str] = manager.names()
        if marker.name not in kinds:
            self.objects.problems.append(unknown(path, marker.name, kinds, "statistic"))
            return BAD
        self.statistics[marker.name] = None
        if kinds[marker.name] == "scalar":
            return 1.0
        types = self._type_names(path)
        if types is None:
            return BAD
        if kinds[marker.name] == "per_type":
            return dict.fromkeys(types, 1.0)
        return {f"{centre}_{neighbour}": 1.0 for centre in types for neighbour in types}

    def _type_names(self, path: str) -> list[str] | None:
        """Type names of the model that uses a per-type statistic; None if they have a problem."""
        section = self.resolved.get("training_module")
        node = section.get("model") if isinstance(section, dict) else None
        while isinstance(node, dict):
            names = node.get("type_names")
            if isinstance(names, list) and all(isinstance(name, str) for name in names):
                return names[:_MAX_TYPES]
            if not isinstance(node.get("model"), dict):
                break
            node = node["model"]  # a recipe that changes another one
        made = ConfigObjects(self.allow).make(node, path) if isinstance(node, dict) else None
        try:
            return list(made.info().type_names) if isinstance(made, ModelRecipe) else None
        except ConfigError:
            return None  # reported where the model is checked

    # ------------------------------------------------------- between sections

    def _recipe(self) -> ModelRecipe | None:
        module = self.resolved.get("training_module")
        if not isinstance(module, dict) or "_target_" not in module or "model" not in module:
            return None
        found, node = self.objects.built.get(MODEL), module["model"]
        if isinstance(found, ModelRecipe):
            return found
        if node is not BAD and (not isinstance(node, dict) or "_target_" not in node):
            self._no_target(MODEL, node)
        elif found is not None:
            self.problems.append(problem(f"{MODEL}._target_", "is not a model", got=node["_target_"]))
        return None

    def _between_sections(self, data: Any, recipe: ModelRecipe | None, stages: list[str]) -> None:
        targets = self.objects.targets
        self.problems.extend(cross_checks.kind_problems(targets))
        self.problems.extend(trainer_problems(self.resolved, targets))
        if recipe is not None:
            self.problems.extend(cross_checks.measure_problems(self.objects, recipe, getattr(data, "units", "metal")))
        self.problems.extend(cross_checks.callback_problems(self.objects))
        self.problems.extend(cross_checks.module_problems(self.resolved, self.objects, data, recipe, stages))
        if recipe is not None and isinstance(data, cross_checks.DataSection):
            self.problems.extend(cross_checks.binding_problems(data, recipe))


def _shown(problems: list[str]) -> list[str]:
    """The problems, of very many the first."""
    more = len(problems) - MAX_PROBLEMS
    return problems if more <= 0 else [*problems[:MAX_PROBLEMS], problem("config", f"has {more} further problems")]
