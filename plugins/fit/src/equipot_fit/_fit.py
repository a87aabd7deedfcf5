"""From labelled data to a package, an evaluation and a report, within a time."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from equipot.config import with_defaults
from equipot.errors import ConfigError, EquipotError, UnavailableError, problem
from equipot.files import remove_unfinished, write_json
from equipot_fit._commands import call, say
from equipot_fit._edits import TIME, callbacks, with_steps, with_time
from equipot_fit._finish import SetErrors, evaluated, say_errors, shown
from equipot_fit._package import BEST, PACKAGE, REFIT, package_checkpoint
from equipot_fit._report import write_report
from equipot_fit._report._subject import MAX_FRAMES
from equipot_fit._speed import INTERRUPTED, Measured, NoTimeError, StepTime
from equipot_fit._tail import COMPILE, REPORT, Tail, report_frames, tail_of
from equipot_fit.callbacks import BUDGET, counted_from

if TYPE_CHECKING:
    from equipot_fit._planned import Plan

PLAN, RECORD, COMPILED = "plan.yaml", "fit.json", "model.equipot.pt2"
"""Files in the folder of a run."""

_OURS = (PLAN, RECORD, PACKAGE, REFIT, BUDGET, COMPILED, "evaluation.json", "report.html")
_RUN = ("best.ckpt", "last.ckpt", "results.json", *_OURS)

MEASURED_FROM = 2.0
"""Minutes from which on there is time to measure; with less, times are those that rules say."""

MEASURING_PART = 0.25
"""Part of the time after which no further size of the model is timed."""

JUDGING_PART, FEWEST_JUDGED = 0.3, 5
"""Part of the time of the report in which frames are evaluated, and how many are in any case."""

AIM = 0.985
"""Part of the time at which the report is finished: the rest is for the end of the program."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitOptions:
    """What the command line says."""

    data: tuple[str, ...]
    output: Path
    minutes: float | None = None
    test: tuple[str, ...] = ()
    preset: str | None = None
    family: str | None = None
    seed: int = 1
    resume: bool = False
    overwrite: bool = False
    brief: bool = False
    """Whether it ends with the errors, without compiled file and report: a point of a learning curve."""
    begun: float = dataclasses.field(default_factory=time.monotonic)
    """When the command began, by ``time.monotonic``."""
    reading: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """How files are read, as in the data section of a config."""

    def asked(self) -> dict[str, Any]:
        """What a resumed run must have been asked as well, in plain containers."""
        files = {"data": [str(Path(one).absolute()) for one in self.data], "test": list(self.test)}
        return {**files, "preset": self.preset, "model": self.family, "seed": self.seed, "reading": dict(self.reading)}


class Clocks:
    """Seconds of the clock and of the processors, with those of subprocesses, from when it is made."""

    def __init__(self) -> None:
        self.begun, self.cpu = time.monotonic(), sum(os.times()[:4])

    def stage(self, name: str) -> dict[str, Any]:
        """What a record says of a stage that ends now."""
        cpu = sum(os.times()[:4]) - self.cpu
        return {"name": name, "seconds": round(time.monotonic() - self.begun, 2), "cpu_seconds": round(cpu, 2)}


class Record:
    """What ``fit.json`` says of a run; written whenever it changes.

    Args:
        path: The file.
        content: What it said before, if the run goes on.
    """

    def __init__(self, path: Path, content: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self.content: dict[str, Any] = {"stages": [], "skipped": {}, **(content or {})}
        self.before = float(self.content.get("used_seconds", 0.0))

    def update(self, **values: Any) -> None:
        """Change entries and write."""
        self.content.update(values)
        write_json(self.path, self.content)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        clocks = Clocks()
        try:
            yield
        finally:
            self.update(stages=[*self.content["stages"], clocks.stage(name)])

    def skip(self, what: str, why: str) -> None:
        """Keep what was left out, and say it."""
        say(f"no {what}: {why}")
        self.update(skipped={**self.content["skipped"], what: why})


class Fit:
    """One run of the command.

    Args:
        options: Of the command line.
        planner: Looks at the data and makes the plan: ``(options, measured) -> plan``.
        measured: What a training with a config costs, if that is known before; else it is measured.
    """

    def __init__(
        self,
        options: FitOptions,
        planner: Callable[..., Plan] | None = None,
        measured: Callable[[Mapping[str, Any]], StepTime] | None = None,
    ) -> None:
        self.begun = options.begun
        self.options, self.folder = options, options.output
        self.planner = planner or planned
        self.known = measured is not None
        minutes = math.inf if options.minutes is None else options.minutes
        self.measured = measured or Measured(until=options.begun + MEASURING_PART * 60.0 * minutes)
        self.record = Record(self.folder / RECORD)
        self.tail = Tail(0.0, 0, compiles=False)

    @property
    def used(self) -> float:
        """Seconds, those of the run before an interruption included."""
        return self.record.before + time.monotonic() - self.begun

    def run(self) -> int:
        """All of it; the exit code.

        Raises:
            EquipotError: If data or options cannot be used.
        """
        plan = self._resumed() if self.options.resume and (self.folder / RECORD).is_file() else self._new()
        try:
            code = self._train(plan) if self.record.content["state"] == "planned" else 0
            if code:  # the command has said why
                return self._interrupted(code) if code >= INTERRUPTED else code
            self._settle(plan)
            self._finish()
        except (Exception, SystemExit):
            raise
        except BaseException:  # a signal outside training
            say(self._hint())
            raise
        return 0

    # -------------------------------------------------------------------------------- plans

    def _new(self) -> Plan:
        self._make_folder()
        clocks = Clocks()
        try:
            plan = self.planner(self.options, self.measured)
        except EquipotError:
            with contextlib.suppress(OSError):  # an empty folder would only be in the way
                self.folder.rmdir()
            raise
        minutes = plan.minutes
        each = plan.expected
        if self.known or minutes >= MEASURED_FROM:
            with contextlib.suppress(NoTimeError):
                each = self.measured(plan.config)
        stage = clocks.stage("plan")
        self.tail = tail_of(60.0 * minutes, each, brief=self.options.brief)
        plan = dataclasses.replace(plan, config=with_time(plan.config, minutes, self.tail))
        plan.write(self.folder / PLAN, full=False)
        self.record.update(
            state="planned",
            asked=self.options.asked(),
            asked_minutes=minutes,
            minutes_given=self.options.minutes is not None,
            choices=dict(plan.reasons),
            step_seconds=dataclasses.asdict(each),
            compiles=self.tail.compiles,
            stages=[stage],
            skipped=dict(self.tail.skipped),
        )
        kept = self.tail.seconds + self.tail.frames * each.validation / max(each.frames["val"], 1)
        say(f"plan: {self.folder / PLAN}; about {kept:.0f} s are kept for what follows the training")
        for what, why in self.tail.skipped.items():
            if not self.options.brief:
                say(f"no {what}: {why}")
        return plan

    def _make_folder(self) -> None:
        """Make the folder, or refuse one that holds a run."""
        found = [name for name in _RUN if (self.folder / name).exists()]
        if found and not (self.options.overwrite or self.options.resume):
            what = f"the folder holds a run already ({', '.join(found)})"
            hint = "choose another folder, add --resume auto to go on with it, or --overwrite"
            raise ConfigError(problem("--output", what, got=str(self.folder), hint=hint))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            what = f"cannot be made: {error.strerror}"
            raise ConfigError(problem("--output", what, got=str(self.folder), hint="choose another folder")) from None
        for name in _OURS:
            (self.folder / name).unlink(missing_ok=True)

    def _resumed(self) -> Plan:
        """The plan of the run in the folder.

        Raises:
            ConfigError: If it was asked for something else.
        """
        from equipot_fit._planned import Plan

        content = read_record(self.folder / RECORD)
        asked = content["asked"]
        now = {**self.options.asked(), "seed": self.options.seed}
        differing = [name for name, value in now.items() if asked.get(name) != value]
        if differing:
            what = f"the run in the folder was asked otherwise in {', '.join(differing)}"
            hint = "repeat its options, or choose another folder"
            raise ConfigError(problem("--resume auto", what, got=str(self.folder), hint=hint))
        if self.options.minutes not in (None, content["asked_minutes"]):
            hint = f"leave --minutes out; it has {content['asked_minutes']:g}"
            raise ConfigError(problem("--minutes", "cannot change in a run that goes on", hint=hint))
        remove_unfinished(self.folder)
        self.record = Record(self.folder / RECORD, content)
        self.tail = dataclasses.replace(self.tail, compiles=bool(content["compiles"]))
        say(f"going on with {self.folder}: {self.record.before / 60:.1f} of {content['asked_minutes']:g} min are used")
        try:
            config = with_defaults(yaml.safe_load((self.folder / PLAN).read_text(encoding="utf-8")))
        except (OSError, yaml.YAMLError) as error:
            raise ConfigError(problem(str(self.folder / PLAN), f"cannot be read: {error}")) from None
        return Plan(config, content["choices"], content["asked_minutes"])

    # ----------------------------------------------------------------------------- training

    def _train(self, plan: Plan) -> int:
        """Train; the exit code, 0 if it came to its end."""
        path = str(self.folder / PLAN)
        how = ["--resume", "auto"] if self.options.resume else ["--overwrite"]
        try:
            with self.record.stage("train"), counted_from(self.begun):
                code = call("train", path, "--output", str(self.folder), *how)
        finally:
            self.record.update(used_seconds=round(self.used, 2))
        if not code:
            budget = json.loads((self.folder / BUDGET).read_text(encoding="utf-8"))
            now = time.monotonic() - self.begun
            self.record.before = max(self.record.before, budget["seconds"] - now)  # a killed run has not kept it
            refit = self.folder / REFIT
            result = json.loads(refit.read_text(encoding="utf-8")) if refit.is_file() else None
            seconds = sum(one["seconds"] for one in self.record.content["stages"] if one["name"] == "train")
            self.record.update(state="trained", seconds=round(seconds, 2), training=budget, refit=result)
        return code

    def _settle(self, plan: Plan) -> None:
        """Write the plan that repeats the training, once the record says what that came to.

        In this order: a run that is killed between the two is not trained with the steps in place of the time.
        """
        budget = self.record.content.get("training")
        if budget and any(one.get("_target_") == TIME for one in callbacks(plan.config)):
            config = with_steps(plan.config, budget, self.record.content.get("refit"))
            plan = dataclasses.replace(plan, config=config, steps=budget["steps"])
            plan.write(self.folder / PLAN, full=False)

    def _interrupted(self, code: int) -> int:
        """Leave what there is as a package, and say how to go on."""
        best = self.folder / BEST
        if best.is_file():
            package_checkpoint(best)
            say(f"the best weights so far: {self.folder / PACKAGE}")
        say(self._hint())
        return code

    def _hint(self) -> str:
        if self.options.brief:
            return "this point is not finished"
        words = ["equipot", "fit", *self.options.data, "--output", str(self.folder), "--resume", "auto"]
        return f"go on with: {shlex.join(words)}  (and the other options as before)"

    # --------------------------------------------------------------------------------- tail

    def _finish(self) -> None:
        """What follows the training."""
        package = self.folder / PACKAGE
        if not package.is_file():
            package_checkpoint(self.folder / BEST)
        evaluation = None
        with self.record.stage("evaluate"):
            evaluation = evaluated(self.folder, *self._test_seconds())
        if self.options.brief:
            self.record.update(state="finished", used_seconds=round(self.used, 2))
            say_errors(evaluation, self.record.content)
            return
        if self.tail.compiles:
            self._compile()
        self.record.update(state="finished", used_seconds=round(self.used, 2))
        with self.record.stage("report"):
            report = write_report(self.folder, **self._report_options(evaluation))
        self.record.update(used_seconds=round(self.used, 2))
        shown(self.folder, evaluation, self.record.content, report)

    def _test_seconds(self) -> tuple[float, float]:
        """Seconds that there are for the test set, and those that a frame of the validation set takes."""
        content = self.record.content
        left = AIM * 60.0 * content["asked_minutes"] - self.used - COMPILE * self.tail.compiles
        frame = float(content.get("training", {}).get("frame_seconds", 0.0))
        if not self.options.brief:
            each = content["step_seconds"]
            left -= REPORT + frame * report_frames(each["frames"], each.get("atoms", 0.0))
        return max(left, 0.0), frame

    def _report_options(self, evaluation: SetErrors | None) -> dict[str, Any]:
        """How many frames the report judges, by what the evaluation took, and when it must be finished."""
        left = AIM * 60.0 * self.record.content["asked_minutes"] - self.used
        taken = next(one["seconds"] for one in reversed(self.record.content["stages"]) if one["name"] == "evaluate")
        most = MAX_FRAMES
        if evaluation is not None and evaluation.evaluation.n_frames:
            most = int(min(JUDGING_PART * left * evaluation.evaluation.n_frames / max(taken, 1e-3), most))
        return {"max_frames": max(most, FEWEST_JUDGED), "until": time.monotonic() + left}

    def _compile(self) -> None:
        """Make the compiled file, if there is still time and a compiler."""
        left = 60.0 * self.record.content["asked_minutes"] - self.used
        if left < COMPILE / 2:
            self.record.skip("compile", f"only {max(left, 0.0):.0f} s are left")
            return
        say("compiling …")
        try:
            with self.record.stage("compile"):
                code = call("compile", str(self.folder / PACKAGE), str(self.folder / COMPILED))
        except UnavailableError as error:
            self.record.skip("compile", str(error))
        except EquipotError as error:
            self.record.skip("compile", str(error))
        else:
            if code:
                self.record.skip("compile", f"the compiler ended with exit code {code}")


def read_record(path: Path) -> dict[str, Any]:
    """What ``fit.json`` says.

    Raises:
        ConfigError: If it cannot be read, or is not one.
    """
    return read_entries(
        path, {"state", "asked", "asked_minutes", "choices", "compiles", "stages", "skipped"}, "is damaged"
    )


def read_entries(path: Path, needed: set[str], wrong: str) -> dict[str, Any]:
    """What a JSON file of a folder that a run goes on in says.

    Args:
        path: The file.
        needed: Its least entries.
        wrong: What is said of a file that lacks some.

    Raises:
        ConfigError: If it cannot be read, or lacks entries.
    """
    hint = "choose another --output"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        missing = needed - set(content)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(problem(str(path), f"cannot be read: {error}", hint=hint)) from None
    if missing:
        raise ConfigError(problem(str(path), wrong, hint=hint))
    return dict(content)


def planned(options: FitOptions, measured: Callable[[Mapping[str, Any]], StepTime]) -> Plan:
    """Look at the data and plan; sizes are timed if there is time for that."""
    from equipot_fit._facts import gather
    from equipot_fit._plan import make_plan

    facts = gather(options.data, test=options.test, options=options.reading)
    timed = options.minutes is None or options.minutes >= MEASURED_FROM
    plan = make_plan(
        facts,
        options.minutes,
        preset=options.preset,
        family=options.family,
        step_seconds=measured if timed else None,
        seed=options.seed,
    )
    for text in (*facts.findings, *plan.notes(facts)):
        say(f"note: {text}")
    if options.minutes is None:
        say(f"{plan.minutes:g} min ({plan.reasons['trainer.callbacks']}); --minutes sets another time")
    return plan


def free_folder(data: str) -> Path:
    """A folder for a run on a file that does not exist yet: ``outputs/NAME/DATE_TIME``."""
    name = "".join(char if char.isalnum() or char in "-_." else "_" for char in Path(data).stem) or "fit"
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    folder, count = Path("outputs", name, stamp), 1
    while folder.exists():
        count += 1
        folder = Path("outputs", name, f"{stamp}_{count}")
    return folder
