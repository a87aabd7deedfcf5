"""From facts to a config with a reason for each choice."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from equipot.errors import ConfigError, problem, unknown
from equipot_fit import _rules as rules
from equipot_fit._facts import Facts
from equipot_fit._planned import EXPECTED, Plan
from equipot_fit._rules import Choice, Family, Split
from equipot_fit._sizes import SIZES, Size
from equipot_fit._speed import EVALUATION_COST, NoTimeError, StepTime


class StepSeconds(Protocol):
    """What a measurement says of a config."""

    @property
    def step(self) -> float:
        """Seconds of a training step."""
        ...


Measure = Callable[[Mapping[str, Any]], StepSeconds]

MOST_MEASUREMENTS = 4
"""Sizes whose steps are timed at most."""

CAUTIOUS = 5.0
"""Minutes below which the smallest size is timed first: on a busy machine without cached kernels, those of a larger one
could take all of the time to compile."""

BUILDERS: dict[str, str] = {"nequip": "NequIPGNNModel", "allegro": "AllegroModel"}


@dataclass(frozen=True)
class Part:
    """A part of the train set with a model that has been chosen before: a point of a learning curve."""

    frames: int
    """Number of frames that are learnt from."""
    seed: int
    """Of these frames and of the first weights."""
    size: Mapping[str, Any]
    """Options of the model's size, or its preset."""


TERMS = {"total_energy": "per_atom_energy", "forces": "forces", "stress": "stress"}
"""How the names of terms of the loss begin, by label."""


def make_plan(
    facts: Facts,
    minutes: float | None = None,
    *,
    preset: str | None = None,
    family: str | None = None,
    test: Sequence[str] | None = None,
    step_seconds: Measure | None = None,
    seed: int = 1,
    part: Part | None = None,
) -> Plan:
    """Choose everything that a training needs, with a reason for each choice.

    Args:
        facts: Of the data.
        minutes: Time of the whole training; None: by the size of the data.
        preset: Size of the model: S, M, L or XL; None: by the time.
        family: ``nequip`` or ``allegro``; None: by the data.
        test: Files that are kept for testing; None: those of the facts.
        step_seconds: Measures what a training step of a config takes; None: a rule says it.
        seed: Of the split, the order of batches and the first weights.
        part: Learn only from a part of the train set, with a given size of the model.

    Raises:
        ConfigError: If an option has no such value, or the family is not installed.
    """
    if test is not None and tuple(test) != facts.test_files:
        facts = dataclasses.replace(facts, test_files=tuple(test))
    chosen = _options(minutes, preset, family)
    return _Planner(facts, chosen, seed, step_seconds, part).plan()


class _Options:
    """What was asked for, checked."""

    def __init__(self, minutes: float | None, preset: str | None, family: Family | None) -> None:
        self.minutes, self.preset, self.family = minutes, preset, family


def _options(minutes: float | None, preset: str | None, family: str | None) -> _Options:
    problems = []
    if minutes is not None and not 0.0 < minutes < float("inf"):
        problems.append(problem("--minutes", "must be greater than 0", got=minutes))
    if preset is not None and preset.upper() not in ("S", "M", "L", "XL"):
        problems.append(unknown("--preset", preset, ("S", "M", "L", "XL"), "preset"))
    if family is not None and family not in BUILDERS:
        problems.append(unknown("--model", family, BUILDERS, "model"))
    if problems:
        raise ConfigError(problems)
    named: Any = family
    return _Options(minutes, None if preset is None else preset.upper(), named)


class _Planner:
    """Makes the choices in order; later ones rest on earlier ones."""

    def __init__(
        self,
        facts: Facts,
        asked: _Options,
        seed: int,
        measure: Measure | None,
        part: Part | None = None,
    ) -> None:
        self.step = 0.0
        self.facts, self.asked, self.seed, self.measure, self.part = facts, asked, seed, measure, part
        self.reasons: dict[str, str] = {}
        minutes = rules.default_minutes(facts) if asked.minutes is None else Choice(asked.minutes, "as asked")
        self.minutes = self._because("trainer.callbacks", minutes)
        self.labels = rules.learnt_labels(facts).value
        self.forces = "forces" in self.labels
        self.others = {one.label: one for one in facts.others if one.modifier}
        self.family: Family = self._because("training_module.model._target_", rules.family(facts, asked.family))
        self.r_max = self._because("training_module.model.r_max", rules.radius(facts, self.family))
        self.split: Split = self._because(
            "data.split_dataset", rules.split_sizes(facts, own_test=bool(facts.test_files))
        )
        self.by = self._because("data.split_dataset.by", rules.split_rule(facts))
        self.learnt = self.split if part is None else self.split._replace(train=part.frames)
        self.batch = self._because(
            "data.train_dataloader", rules.batch_size(facts, self.r_max, self.learnt.train, forces=self.forces)
        )
        self.steps = self.wanted = rules.steps_wanted(facts, self.minutes, math.ceil(self.learnt.train / self.batch))

    def _because(self, place: str, choice: Choice[Any]) -> Any:
        """The value of a choice, whose reason is kept."""
        self.reasons[place] = choice.reason
        return choice.value

    def plan(self) -> Plan:
        """Choose the size, then everything that depends on the number of steps."""
        self._require_family()
        options = self._size()
        config = self._config(options)
        places = set(_places(config))
        reasons = {key: text for key, text in self.reasons.items() if key in places}
        return Plan(config, reasons, self.minutes, self.steps, options, self._expected())

    def _expected(self) -> StepTime:
        frames = {**self.learnt._asdict(), "test": self.learnt.test + self.facts.n_test_frames}
        validation = EVALUATION_COST * self.step * frames["val"] / self.batch
        atoms = self.facts.n_atoms.median
        return dataclasses.replace(EXPECTED, step=self.step, validation=validation, frames=frames, atoms=atoms)

    def _require_family(self) -> None:
        from equipot.plugins import plugins

        host, name = plugins(), BUILDERS[self.family]
        if name not in host.names("model_builders"):
            hint = host.install_hint("model_builders", name)
            raise ConfigError(problem("--model", f"{name} is not installed", got=self.family, hint=hint))

    # -------------------------------------------------------------------------- size

    def _size(self) -> dict[str, Any]:
        """Options of the model's size; sets the number of steps."""
        given: Mapping[str, Any] | None = None if self.asked.preset is None else {"preset": self.asked.preset}
        if self.part is not None:
            given = self.part.size
        if given is not None:
            return self._given_size(dict(given))
        size, seconds, how = self._timed() if self.measure is not None else self._by_rule()
        self.steps, self.step = rules.steps_in(self.minutes, seconds), seconds
        reason = f"a step takes {1000.0 * seconds:.0f} ms ({how}), so that {self.minutes:g} min have {self.steps} steps"
        wanted = f"; {self.wanted} are wanted" + ("" if self.steps >= self.wanted else ", no size is smaller")
        self.reasons["training_module.model.num_layers"] = reason + wanted
        return dict(size.options)

    def _given_size(self, options: dict[str, Any]) -> dict[str, Any]:
        """Options that are given; sets the number of steps."""
        seconds = None if self.measure is None else self.measure(self._config(options)).step
        seconds = self._guess(SIZES[self.family][-1]) if seconds is None else seconds
        self.steps, self.step = rules.steps_in(self.minutes, seconds), seconds
        why = "asked for" if self.part is None else "the same for all numbers of frames"
        place = "preset" if "preset" in options else "num_layers"
        self.reasons[f"training_module.model.{place}"] = f"{why}; a step takes some {1000.0 * seconds:.0f} ms"
        return options

    def _guess(self, size: Size, factor: float = 1.0) -> float:
        """Expected seconds of a step."""
        return factor * size.seconds(self.batch * self.facts.edges_per_frame(self.r_max))

    def _largest(self, seconds: Callable[[Size], float]) -> Size:
        """The largest size that gets enough steps; the smallest if none does."""
        tried = rules.sizes(self.facts, self.family)
        fitting = [one for one in tried if rules.steps_in(self.minutes, seconds(one)) >= self.wanted]
        return fitting[-1] if fitting else tried[0]

    def _by_rule(self) -> tuple[Size, float, str]:
        size = self._largest(self._guess)
        return size, self._guess(size), "expected"

    def _timed(self) -> tuple[Size, float, str]:
        """Time the size that is expected to fit, and others until the one that fits is known."""
        if self.measure is None:
            return self._by_rule()
        known: dict[int, float] = {}
        factor, hurried = 1.0, False

        def seconds(size: Size) -> float:
            return known.get(id(size), self._guess(size, factor))

        size = rules.sizes(self.facts, self.family)[0] if self.minutes < CAUTIOUS else self._largest(seconds)
        while id(size) not in known and len(known) < MOST_MEASUREMENTS:
            try:
                known[id(size)] = self.measure(self._config(dict(size.options))).step
            except NoTimeError:  # what is known must do
                hurried = True
                break
            factor = known[id(size)] / self._guess(size)
            size = self._largest(seconds)
        if id(size) not in known:  # of those that were timed, the largest that fits, else the fastest
            timed = [one for one in rules.sizes(self.facts, self.family) if id(one) in known]
            fitting = [one for one in timed if rules.steps_in(self.minutes, seconds(one)) >= self.wanted]
            if hurried and not fitting:  # a smaller one takes as many times what is expected
                return size, seconds(size), "expected from that of a larger size"
            size = fitting[-1] if fitting else min(timed, key=seconds)
        return size, known[id(size)], "measured"

    # -------------------------------------------------------------------------- config

    def _config(self, size: Mapping[str, Any]) -> dict[str, Any]:
        tested = self.split.test or self.facts.test_files
        return {
            "run": ["train", "val", "test"] if tested else ["train", "val"],
            "data": self._data(),
            "trainer": self._trainer(),
            "training_module": self._module(size),
        }

    def _data(self) -> dict[str, Any]:
        files = list(self.facts.files)
        parts = {name: number for name, number in self.split._asdict().items() if number}
        section: dict[str, Any] = {
            "_target_": "equipot.data.ASEDataModule",
            "seed": self.seed,
            **self.facts.options,
            "split_dataset": {"file_path": files if len(files) > 1 else files[0], **parts, "by": self.by},
        }
        if self.facts.guessed_labels:
            self.reasons["data.labels"] = "keys that look like labels; give --labels if others are meant"
        if self.facts.test_files:
            section["test_file_path"] = list(self.facts.test_files)
        if self.part is not None:
            section["train_subset"] = {"frames": self.part.frames, "seed": self.part.seed}
            self.reasons["data.train_subset"] = "a point of a learning curve; each is a part of the larger ones"
        section["train_dataloader"] = {"batch_size": self.batch}
        kind = "Common" if self.forces else "EnergyOnly"
        return {**section, "stats_manager": {"_target_": f"equipot.data.{kind}DataStatisticsManager"}}

    def _trainer(self) -> dict[str, Any]:
        interval = self._because("trainer.check_val_every_n_epoch", self._interval())
        budget: dict[str, Any] = {"_target_": "equipot_fit.TimeBudget", "minutes": self.minutes}
        if (final := self._final_weights()) is not None:
            budget["final_coeffs"] = final
        return {
            "_target_": "lightning.Trainer",
            "accelerator": "auto",
            "devices": 1,
            "max_epochs": -1,
            "log_every_n_steps": 10,
            **interval,
            "callbacks": [budget],
        }

    def _interval(self) -> Choice[dict[str, Any]]:
        return rules.validation_interval(self.steps, self.learnt, self.batch)

    def _final_weights(self) -> dict[str, float] | None:
        """Weights of the loss while the learning rate declines, by the names of its terms; None if they stay."""
        weights = rules.loss_weights(self.facts, self.labels, final=True).value
        if not self.forces or weights == rules.loss_weights(self.facts, self.labels).value:
            return None
        more = "; while the learning rate declines, energies weigh more"
        self.reasons["trainer.callbacks"] = self.reasons["trainer.callbacks"].removesuffix(more) + more
        kind = "mse" if rules.huber(self.facts, self.labels).value is None else "huber"
        terms = {f"{TERMS[label]}_{kind}": weight for label, weight in weights.items()}
        return terms | {f"{label}_mse": weight for label, weight in rules.other_weights(self.facts).value.items()}

    def _module(self, size: Mapping[str, Any]) -> dict[str, Any]:
        ema = self._because("training_module.ema_decay", rules.ema_decay(self.steps))
        rate = self._because(
            "training_module.optimizer", rules.learning_rate(self.facts, _width(size), forces=self.forces)
        )
        warmup = rules.warmup_steps(self.steps)
        self.reasons["training_module.lr_scheduler"] = f"rises for {warmup} steps, stays, and declines to 0 at the end"
        return {
            "_target_": "equipot.train.EMALightningModule",
            "ema_decay": ema,
            "loss": self._loss(),
            "val_metrics": self._metrics(),
            "optimizer": {"_target_": "torch.optim.Adam", "lr": rate},
            "lr_scheduler": {
                "scheduler": {"_target_": "equipot_fit.WarmupDecay", "warmup_steps": warmup},
                "interval": "step",
            },
            "model": self._with_heads(self._model(size)),
        }

    def _with_heads(self, model: dict[str, Any]) -> dict[str, Any]:
        """The model with the heads of other labels around it; reasons go along."""
        if not self.others:
            return model
        modifiers = list(dict.fromkeys(one.modifier for one in self.others.values()))
        place = "training_module.model"
        moved = {key: text for key, text in self.reasons.items() if key.startswith(f"{place}.")}
        for key, text in moved.items():
            self.reasons[f"{place}.model{key.removeprefix(place)}"] = text
        self.reasons[f"{place}.modifiers"] = f"heads for {', '.join(self.others)}"
        return {
            "_target_": "equipot.model.modify",
            "modifiers": [{"modifier": name} for name in modifiers],
            "model": model,
        }

    def _loss(self) -> dict[str, Any]:
        labels = rules.learnt_labels(self.facts)
        weights, sizes = rules.loss_weights(self.facts, self.labels), rules.huber(self.facts, self.labels)
        others = rules.other_weights(self.facts)
        more = f"; {weights.reason}; {sizes.reason}" if self.forces else ""
        self.reasons["training_module.loss"] = labels.reason + more + others.reason
        options: dict[str, Any] = {"coeffs": weights.value | others.value} if self.forces or others.value else {}
        if sizes.value is not None:
            options["huber"] = sizes.value
        kind = "EnergyForce" if self.others and not self.forces else self._kind()  # which takes further labels
        return {"_target_": f"equipot.train.{kind}Loss", **options}

    def _kind(self) -> str:
        return "EnergyOnly" if not self.forces else "EnergyForceStress" if "stress" in self.labels else "EnergyForce"

    def _metrics(self) -> dict[str, Any]:
        """Errors by which the best weights are chosen; weights of squares become those of errors by their roots."""
        names = {"total_energy": "per_atom_energy_mae", "forces": "forces_mae", "stress": "stress_mae"}
        weights = rules.loss_weights(self.facts, self.labels, final=True).value
        often = [label for label in weights if self.facts.labels[label] >= rules.JUDGED_FROM * self.facts.n_frames]
        coeffs = {names[label]: rules.rounded(weights[label] ** 0.5) for label in often or weights}
        others = rules.other_weights(self.facts).value
        for label, weight in others.items():
            if self.others[label].frames >= rules.JUDGED_FROM * self.facts.n_frames:
                coeffs[f"{label}_mae"] = rules.rounded(weight**0.5)
        further = {"labels": list(others)} if others else {}
        return {"_target_": f"equipot.train.{self._kind()}Metrics", **further, "coeffs": coeffs}

    def _model(self, size: Mapping[str, Any]) -> dict[str, Any]:
        name = BUILDERS[self.family]
        target = f"equipot.model.{'Preset' if 'preset' in size else ''}{name}"
        section: dict[str, Any] = {
            "_target_": target,
            "seed": self.seed if self.part is None else self.part.seed,
            "model_dtype": "float32",
            "type_names": "auto",
            "r_max": self.r_max,
            **size,
        }
        if self.family == "allegro" and "preset" not in size:
            section["radial_chemical_embed"] = {"_target_": "equipot_allegro.TwoBodyBesselScalarEmbed"}
        if self.family == "nequip" and rules.varied(self.facts):
            section["type_embed_periodic_table"] = True
            self.reasons["training_module.model.type_embed_periodic_table"] = (
                f"what is learnt of one of the {len(self.facts.elements)} elements holds for similar ones at first"
            )
        if not self.forces:
            section["do_derivatives"] = False
            self.reasons["training_module.model.do_derivatives"] = (
                "no forces are learnt; a modifier adds them to the model if they are wanted nevertheless"
            )
        section["avg_num_neighbors"] = "${training_data_stats:num_neighbors_mean}"
        if "total_energy" in self.labels:
            kind = "ridge" if _fitted(self.facts) else "auto"
            section["per_type_energy_shifts"] = f"${{training_data_stats:per_type_energy_shifts_{kind}}}"
            self.reasons["training_module.model.per_type_energy_shifts"] = _energies(self.facts)
        section["per_type_energy_scales"] = self._scale()
        end = self._because("training_module.model.pair_potential", rules.repulsion(self.facts))
        units = self.facts.options.get("units", "metal")
        zbl = {"_target_": "equipot.pair_potentials.ZBL", "units": units, "covalent_range": end}
        section["pair_potential"] = zbl
        return section

    def _scale(self) -> Any:
        rms, size = self.facts.forces_rms, self.facts.forces_size
        if self.forces and rms and size:  # atoms at rest, as in cells of one atom, tell no scale
            if size == rms:
                return "${training_data_stats:forces_rms}"
            self.reasons["training_module.model.per_type_energy_scales"] = (
                f"forces have {self.facts.forces_mean or 0.0:.3g} {self.facts.unit}/Å in the mean, but a root mean "
                f"square of {rms:.3g} because few are large; normal ones would have {size:.3g}"
            )
            return float(f"{size:.3g}")
        spread = (self.facts.energy_spread or 0.0) * self.facts.n_atoms.median**0.5
        self.reasons["training_module.model.per_type_energy_scales"] = (
            f"energies spread by {self.facts.energy_spread or 0.0:.3g} {self.facts.unit} per atom about a fit of one "
            f"energy per element, in frames of {self.facts.n_atoms.median:.0f} atoms"
        )
        return float(f"{spread:.3g}") if spread > 0.0 else 1.0


def _width(size: Mapping[str, Any]) -> int:
    """Scalar features of a model; 0 if a preset says."""
    return int(size.get("num_features", size.get("num_scalar_features", 0)))


def _energies(facts: Facts) -> str:
    """Where energies of atoms come from."""
    if facts.energies_rule == "isolated atoms":
        return f"isolated atoms of all {len(facts.isolated)} elements are in the data"
    if _fitted(facts):
        what = "determine those" if facts.energies_rule == "least squares" else "cannot tell all"
        found = f"{facts.compositions} compositions {what} of {len(facts.elements)} elements"
        return f"least squares with a ridge: {found}; the less frames tell of one, the closer it is to the mean"
    if facts.energies_rule == "least squares":
        return f"least squares: {facts.compositions} compositions of 1 element"
    return f"the mean: 1 composition cannot tell the {len(facts.elements)} elements apart"


def _fitted(facts: Facts) -> bool:
    """Whether energies of several elements are fitted to several compositions."""
    if len(facts.elements) == 1:
        return False
    return facts.energies_rule == "least squares" or (facts.energies_rule == "mean" and facts.compositions > 1)


def _places(node: Mapping[str, Any], path: str = "") -> list[str]:
    """Dotted paths of all entries."""
    found = []
    for key, value in node.items():
        place = f"{path}.{key}" if path else str(key)
        found.append(place)
        if isinstance(value, Mapping):
            found += _places(value, place)
    return found
