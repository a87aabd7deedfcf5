"""Errors by number of frames: one training for each subset of the train set, and what more frames would give."""

from __future__ import annotations

import dataclasses
import json
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from equipot.config import stored_data
from equipot.errors import ConfigError, DataError, EquipotError, problem
from equipot.files import remove_unfinished, write_json, write_text
from equipot.quantities import REPORTED
from equipot_fit import _learning_curve_page as page
from equipot_fit import _rules as rules
from equipot_fit._commands import say
from equipot_fit._facts import Facts, gather
from equipot_fit._finish import EVALUATION, SETS
from equipot_fit._fit import MEASURED_FROM, RECORD, Fit, FitOptions, read_entries
from equipot_fit._plan import Part, make_plan
from equipot_fit._planned import Plan
from equipot_fit._power_law import FEWEST_SIZES, MeaninglessError, fit_power_law
from equipot_fit._speed import Measured, StepTime

RESULTS, PAGE = "results.json", "learning-curve.html"
"""Files in the folder of a learning curve, besides a folder for each training."""

POINTS = 5
"""Numbers of frames that are tried if none are given: the whole train set, a half of it, a quarter, and so on."""

FEWEST_FRAMES = 4
"""Frames that are learnt from at least, if no numbers are given."""

END, SHORTEST = 3.0, 0.1
"""Seconds that are kept for the page, and the shortest time of a training in minutes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurveOptions:
    """What the command line says."""

    data: tuple[str, ...]
    output: Path
    sizes: tuple[int, ...] = ()
    """Numbers of frames to learn from; empty: chosen."""
    points: int = POINTS
    """Number of sizes that are chosen."""
    seeds: int = 1
    """Trainings with each number of frames."""
    minutes: float | None = None
    test: tuple[str, ...] = ()
    preset: str | None = None
    family: str | None = None
    seed: int = 1
    resume: bool = False
    overwrite: bool = False
    targets: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Errors, by the names of quantities, for which numbers of frames are wanted."""
    reading: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    begun: float = dataclasses.field(default_factory=time.monotonic)

    def asked(self) -> dict[str, Any]:
        """What a resumed run must have been asked as well, in plain containers."""
        fit = self.fit(self.output).asked()
        return {**fit, "sizes": list(self.sizes), "points": self.points, "seeds": self.seeds}

    def fit(self, output: Path, **given: Any) -> FitOptions:
        """The same for one training.

        Args:
            output: Its folder.
            **given: Further options.
        """
        names = ("data", "test", "preset", "family", "seed", "reading")
        return FitOptions(**{name: getattr(self, name) for name in names}, output=output, brief=True, **given)


class Training(Protocol):
    """Trains, packages and evaluates one model; gives the exit code."""

    def __call__(
        self, options: FitOptions, planner: Callable[..., Plan], measured: Callable[[Mapping[str, Any]], StepTime]
    ) -> int:
        """Do it."""
        ...


def trained(
    options: FitOptions, planner: Callable[..., Plan], measured: Callable[[Mapping[str, Any]], StepTime]
) -> int:
    """Run ``equipot fit`` without its report."""
    return Fit(options, planner, measured).run()


class LearningCurve:
    """One run of the command.

    Args:
        options: Of the command line.
        train: Makes one of the trainings.
    """

    def __init__(self, options: CurveOptions, train: Training = trained) -> None:
        self.options, self.folder, self.train = options, options.output, train
        self.content: dict[str, Any] = {}

    def run(self) -> int:
        """All of it; the exit code.

        Raises:
            EquipotError: If data or options cannot be used.
        """
        facts = None
        if self.options.resume and (self.folder / RESULTS).is_file():
            self._resumed()
        else:
            facts = self._new()
        try:
            for seed in self.content["seeds"]:
                for size in self.content["sizes"]:
                    if not self._point(size, seed):
                        facts = facts or self._facts()
                        if code := self._train(facts, size, seed):
                            say(self._hint())
                            return code
        except EquipotError:
            raise
        except BaseException:  # a signal outside training
            say(self._hint())
            raise
        self._finish()
        return 0

    # ------------------------------------------------------------------------------- plans

    def _facts(self) -> Facts:
        return gather(self.options.data, test=self.options.test, options=self.options.reading)

    def _plan(self, facts: Facts, minutes: float | None, **given: Any) -> Plan:
        options = self.options
        return make_plan(facts, minutes, preset=options.preset, family=options.family, seed=options.seed, **given)

    def _new(self) -> Facts:
        """Choose numbers of frames, time and model."""
        options = self.options
        self._require_free()
        facts = self._facts()
        rough = self._plan(facts, 1.0)
        sizes = chosen_sizes(rough.config, options)
        seeds = [options.seed + number for number in range(options.seeds)]
        count = len(sizes) * len(seeds)
        minutes = options.minutes or count * rules.default_minutes(facts).value
        if minutes < SHORTEST * count:
            what = f"is too short for {count} trainings"
            raise ConfigError(problem("--minutes", what, got=minutes, hint=f"{SHORTEST * count:g} are the least"))
        measured = Measured() if minutes >= MEASURED_FROM else None
        plan = self._plan(facts, minutes / count, step_seconds=measured)
        each = plan.expected if measured is None else measured(plan.config)
        planning = time.monotonic() - options.begun
        share = max((60.0 * minutes - planning - END) / count / 60.0, SHORTEST)
        self._make_folder()
        self.content = {
            "state": "planned",
            "asked": options.asked(),
            "minutes": minutes,
            "minutes_each": round(share, 3),
            "planning_seconds": round(planning, 2),
            "sizes": sizes,
            "seeds": seeds,
            "size_of_model": dict(plan.size),
            "step_seconds": dataclasses.asdict(each),
            "points": [],
        }
        self._write()
        for text in (*facts.findings, *plan.notes(facts)):
            say(f"note: {text}")
        if len(sizes) < FEWEST_SIZES:
            say(f"note: for an extrapolation {FEWEST_SIZES} different numbers of frames are needed")
        say(
            f"{count} trainings, with {', '.join(map(str, sizes))} frames"
            f"{f' and {len(seeds)} seeds' if len(seeds) > 1 else ''}; each gets the same time, {share:.1f} of "
            f"{minutes:g} min, and the same model"
        )
        return facts

    def _require_free(self) -> None:
        found = [name for name in (RESULTS, PAGE, RECORD) if (self.folder / name).exists()]
        if found and not (self.options.overwrite or self.options.resume):
            what = f"the folder holds a run already ({', '.join(found)})"
            hint = "choose another folder, add --resume auto to go on with it, or --overwrite"
            raise ConfigError(problem("--output", what, got=str(self.folder), hint=hint))

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            what = f"cannot be made: {error.strerror}"
            raise ConfigError(problem("--output", what, got=str(self.folder), hint="choose another folder")) from None
        (self.folder / PAGE).unlink(missing_ok=True)
        for path in self.folder.glob("*/" + RECORD):  # of a curve before: its trainings are not those of this one
            if path.parent.name.startswith("frames_"):
                path.unlink()

    def _resumed(self) -> None:
        """Take over what was done.

        Raises:
            ConfigError: If the curve was asked for something else.
        """
        self.content = read_results(self.folder / RESULTS)
        asked, now = self.content["asked"], self.options.asked()
        if differing := [name for name, value in now.items() if asked.get(name) != value]:
            what = f"the learning curve in the folder was asked otherwise in {', '.join(differing)}"
            hint = "repeat its options, or choose another folder"
            raise ConfigError(problem("--resume auto", what, got=str(self.folder), hint=hint))
        if self.options.minutes not in (None, self.content["minutes"]):
            hint = f"leave --minutes out; it has {self.content['minutes']:g}"
            raise ConfigError(problem("--minutes", "cannot change in a run that goes on", hint=hint))
        remove_unfinished(self.folder)
        done, count = len(self.content["points"]), len(self.content["sizes"]) * len(self.content["seeds"])
        say(f"going on with {self.folder}: {done} of {count} trainings are finished")

    # ---------------------------------------------------------------------------- trainings

    def _point(self, size: int, seed: int) -> dict[str, Any] | None:
        """What a training came to, if it is finished."""
        return next((one for one in self.content["points"] if (one["frames"], one["seed"]) == (size, seed)), None)

    def _minutes(self) -> float:
        """Time of the next training: an equal share, less if the ones before took longer than theirs."""
        content = self.content
        used = content["planning_seconds"] + sum(one["seconds"] for one in content["points"])
        open_ = len(content["sizes"]) * len(content["seeds"]) - len(content["points"])
        left = (60.0 * content["minutes"] - used - END) / open_ / 60.0
        return float(max(min(content["minutes_each"], left), SHORTEST))

    def _train(self, facts: Facts, size: int, seed: int) -> int:
        """Make one training, and keep what came out; the exit code."""
        content = self.content
        say("")
        say(f"{size} frames, seed {seed}:")
        folder = self.folder / f"frames_{size}_seed_{seed}"
        partly = (folder / RECORD).is_file()
        given: dict[str, Any] = {"resume": True} if partly else {"minutes": self._minutes(), "overwrite": True}
        each = StepTime(**content["step_seconds"])
        each = dataclasses.replace(each, frames={**each.frames, "train": size})

        def measured(config: Mapping[str, Any]) -> StepTime:
            del config
            return each

        def planner(options: FitOptions, step_seconds: Any) -> Plan:
            part = Part(size, seed, content["size_of_model"])
            return self._plan(facts, options.minutes, step_seconds=step_seconds, part=part)

        code = self.train(self.options.fit(folder, **given), planner, measured)
        if not code:
            content["points"] = [*content["points"], point(folder, size, seed)]
            self._write()
        return code

    def _hint(self) -> str:
        words = ["equipot", "learning-curve", *self.options.data, "--output", str(self.folder), "--resume", "auto"]
        return f"go on with: {shlex.join(words)}  (and the other options as before)"

    def _write(self) -> None:
        write_json(self.folder / RESULTS, self.content)

    # ---------------------------------------------------------------------------------- end

    def _finish(self) -> None:
        used = self.content["planning_seconds"] + sum(one["seconds"] for one in self.content["points"])
        self.content |= {
            "state": "finished",
            "used_seconds": round(used, 2),
            "quantities": extrapolated(self.content["points"], self.options.targets),
        }
        self._write()
        write_text(self.folder / PAGE, page.html(self.content))
        say("")
        for line in page.text(self.content):
            say(line)
        say("")
        say(f"  {self.folder / RESULTS}: all numbers")
        say(f"  {self.folder / PAGE}: the curve")
        say(f"used {used / 60.0:.2f} of {self.content['minutes']:g} min")


def chosen_sizes(config: Mapping[str, Any], options: CurveOptions) -> list[int]:
    """Numbers of frames, ascending.

    Args:
        config: Of which the train set is a part.
        options: Of the command line.

    Raises:
        ConfigError: If there are not so many frames, or so few have not all elements.
    """
    data = stored_data(config)
    train = data.read_sets()["train"]
    found = [data.nested_frames(train, options.seed + number) for number in range(options.seeds)]
    whole, smallest = len(found[0].order), max(one.smallest for one in found)
    needed = f"{smallest} are the fewest that have all elements"
    if options.sizes:
        sizes = sorted(set(options.sizes))
        if wrong := [size for size in sizes if not smallest <= size <= whole]:
            what = f"the train set has {whole} frames, of which {needed}"
            raise ConfigError(problem("--sizes", what, got=", ".join(map(str, wrong))))
    else:
        lowest = max(smallest, FEWEST_FRAMES, round(whole / 2 ** (options.points - 1)))
        ratio = max(whole / lowest, 1.0) ** (1.0 / max(options.points - 1, 1))
        sizes = sorted({min(round(whole / ratio**number), whole) for number in range(options.points)})
    if len(sizes) < 2:
        hint = "take more frames, or more --points"
        what = f"a curve needs two numbers of frames, the train set has {whole} frames, of which {needed}"
        raise ConfigError(problem("equipot learning-curve", what, got=", ".join(map(str, sizes)), hint=hint))
    return sizes


def point(folder: Path, size: int, seed: int) -> dict[str, Any]:
    """What a training came to.

    Args:
        folder: Of its run.
        size: Number of frames that it learnt from.
        seed: Of them.

    Raises:
        DataError: If it was not evaluated.
    """
    try:
        found = json.loads((folder / EVALUATION).read_text(encoding="utf-8"))
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(problem(str(folder), f"the training has left no errors: {error}")) from None
    errors = {}
    for one in REPORTED:
        names = {kind: one.number(kind) for kind in ("rmse", "mae")}
        if all(isinstance(found.get(name), float) for name in names.values()):
            errors[one.name] = {kind: found[name] for kind, name in names.items()}
    return {
        "frames": size,
        "seed": seed,
        "folder": folder.name,
        "seconds": record["used_seconds"],
        "steps": (record.get("training") or {}).get("steps"),
        "set": SETS[found["set"]],
        "set_frames": found["n_frames"],
        "errors": errors,
    }


def extrapolated(points: Sequence[Mapping[str, Any]], targets: Mapping[str, float]) -> dict[str, Any]:
    """For each quantity: name, unit, and a power law for each kind of error, or why there is none.

    Args:
        points: As ``point`` gives them.
        targets: Errors for which numbers of frames are wanted; without one, half of the smallest error.
    """
    quantities: dict[str, Any] = {}
    for one in REPORTED:
        shown = [found for found in points if one.name in found["errors"]]
        if not shown:
            continue
        sizes = [found["frames"] for found in shown]
        laws: dict[str, Any] = {}
        for kind in ("rmse", "mae"):
            errors = [found["errors"][one.name][kind] for found in shown]
            best = min(errors)
            try:
                wanted = [targets.get(one.name, float(f"{best / 2.0:.3g}"))]
                laws[kind] = fit_power_law(sizes, errors).to_dict(wanted)
            except MeaninglessError as reason:
                laws[kind] = {"refused": str(reason)}
        quantities[one.name] = {"title": one.title, "unit": one.unit, **laws}
    return quantities


def read_results(path: Path) -> dict[str, Any]:
    """What ``results.json`` of a learning curve says.

    Raises:
        ConfigError: If it cannot be read, or is not one.
    """
    needed = {"asked", "minutes", "minutes_each", "sizes", "seeds", "size_of_model", "points"}
    return read_entries(path, needed, "is not that of a learning curve")
