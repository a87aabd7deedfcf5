"""Rules of thumb by which a plan is made: every number that it rests on, and small functions of the facts.

Each function gives a choice with its reason in one sentence, which the plan writes above the choice. ``_rules_text``
says all rules in words, with these numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from equipot_fit._facts import Facts
from equipot_fit._geometry import RADII
from equipot_fit._sizes import SIZES, Size
from equipot_fit._speed import EVALUATION_COST
from equipot_fit._tail import COMPILE, COMPILE_PART

T = TypeVar("T")
Family = Literal["nequip", "allegro"]
PresetName = Literal["S", "M", "L", "XL"]


@dataclass(frozen=True)
class Choice(Generic[T]):
    """What was chosen, and why."""

    value: T
    reason: str


# ------------------------------------------------------------------------------ time

SHORTEST, LONGEST = 10, 120
"""Minutes, if none are given: at least and at most."""

TYPICAL_MINUTES, TYPICAL_ATOMS = 15.0, 10_000
"""Minutes for labelled atoms of this number, all frames together; the time grows with the square root of it."""


def default_minutes(facts: Facts) -> Choice[float]:
    """Minutes of training where none are given."""
    atoms = facts.n_frames * facts.n_atoms.median
    minutes = 5.0 * round(TYPICAL_MINUTES * math.sqrt(atoms / TYPICAL_ATOMS) / 5.0)
    return Choice(
        min(max(minutes, SHORTEST), LONGEST), f"no time was given; for {atoms:.0f} labelled atoms this is a start"
    )


# ------------------------------------------------------------------------------ split

VALIDATION, FEWEST_VALIDATION, MOST_VALIDATION = 0.1, 5, 500
"""Part of the frames that validates, and its least and largest number."""

LARGEST_PART = 0.2
"""A small set gives at most this part of its frames to validation."""

TEST, TEST_FROM, MOST_TEST = 0.1, 200, 1000
"""Part of the frames that tests, how many frames there must be for that, and its largest number."""

FEWEST_BLOCKS = 20
"""Blocks of a trajectory: enough for each part of the split to get some."""

BLOCK_MEMORIES = 2
"""Length of a block in memories of the trajectory, so that most of its frames have forgotten those of the next."""

FRAMES_OF_A_KIND = 5
"""Frames for each composition and config type from which on these are spread evenly."""


class Split(NamedTuple):
    """Numbers of frames, isolated atoms not counted."""

    train: int
    val: int
    test: int


def split_sizes(facts: Facts, *, own_test: bool) -> Choice[Split]:
    """Numbers of frames that train, validate and test.

    Args:
        facts: Of the data.
        own_test: Whether files are given for testing.
    """
    number = facts.n_frames
    wanted = min(max(round(VALIDATION * number), FEWEST_VALIDATION), MOST_VALIDATION)
    val = max(1, min(wanted, int(LARGEST_PART * number)))
    test = 0 if own_test or number < TEST_FROM else min(round(TEST * number), MOST_TEST)
    left = number - val - test
    reason = f"of {number} frames {left} train and {val} validate"
    if test:
        reason += f"; {test} are kept for an honest test"
    elif own_test:
        reason += f"; {facts.n_test_frames} frames of {', '.join(facts.test_files)} test"
    else:
        reason += f"; none test: below {TEST_FROM} frames all are needed to learn"
    if facts.isolated:
        reason += "; isolated atoms always train"
    return Choice(Split(left, val, test), reason)


def split_rule(facts: Facts) -> Choice[str]:
    """How frames are dealt out, as ``data.split_dataset.by``."""
    length = min(BLOCK_MEMORIES * facts.memory, facts.n_frames // FEWEST_BLOCKS)
    if facts.memory > 1 and length > 1:
        reason = f"the frames are steps of trajectories that remember some {facts.memory} frames"
        return Choice(
            f"block:{length}", f"{reason}: {length} of them stay together, so that no part knows the next one"
        )
    if facts.kinds > 1 and facts.n_frames >= FRAMES_OF_A_KIND * facts.kinds:
        return Choice("composition", f"each part gets its share of {facts.kinds} kinds (compositions and config types)")
    return Choice("random", "the frames are neither steps of a trajectory nor of a few kinds")


# ------------------------------------------------------------------------------ labels and loss

LEAST_PART = 0.05
"""A label that fewer of the frames have is not learnt: it would tell more of where it is than of the physics."""

JUDGED_FROM = 0.5
"""A label that fewer of the frames have does not choose the best weights, since small validation sets may lack it."""

ENERGY_WEIGHT, STRESS_WEIGHT = 1.0, 10.0
"""Weights of energies and stress in the loss; that of forces is 1."""

FINAL_ENERGY_WEIGHT, FINAL_FROM = 10.0, 20
"""Weight of the energies while the learning rate declines, for frames of more atoms than the second."""

HUBER_PART, HUBER_OTHERS = 0.04, 0.1
"""Errors of forces count linearly beyond this part of the rms force; those of energies per atom and of stress beyond
this part of the number for forces, as core's losses have it."""

VARIED_HUBER_PART = 0.025
"""With more than ``MANY_ELEMENTS`` elements, errors of energies count linearly beyond this part of what compositions
leave of the energies per atom."""


def learnt_labels(facts: Facts) -> Choice[list[str]]:
    """Labels in the loss."""
    enough = max(2.0, LEAST_PART * facts.n_frames)
    used = [label for label in ("total_energy", "forces", "stress") if facts.labels.get(label, 0) >= enough]
    if not set(used) & {"total_energy", "forces"}:  # few labels are better than none
        used = [label for label in ("total_energy", "forces") if label in facts.labels]
    if "forces" not in used:
        used = [label for label in used if label != "stress"]
    counts = ", ".join(f"{label} in {facts.labels[label]}" for label in facts.labels)
    left = [label for label in facts.labels if label not in used]
    return Choice(used, f"of {facts.n_frames} frames: {counts}" + (f"; {', '.join(left)} are left out" if left else ""))


def loss_weights(facts: Facts, labels: list[str], *, final: bool = False) -> Choice[dict[str, float]]:
    """Weights of the terms of the loss.

    Args:
        facts: Of the data.
        labels: Those in the loss.
        final: While the learning rate declines.
    """
    atoms = facts.n_atoms.median
    raised = atoms > FINAL_FROM and not varied(facts)
    energy = FINAL_ENERGY_WEIGHT if final and raised else ENERGY_WEIGHT
    weights = {"total_energy": energy, "forces": 1.0, "stress": STRESS_WEIGHT}
    reason = f"frames have {atoms:.0f} atoms: "
    reason += "energies weigh more while the learning rate declines" if raised else "energies weigh the same throughout"
    return Choice({label: weights[label] for label in labels}, reason)


def other_weights(facts: Facts) -> Choice[dict[str, float]]:
    """Weights of the terms of other labels, which then count as forces do, each relative to its own size."""
    size = facts.forces_rms or facts.energy_spread or 1.0
    learnt = [one for one in facts.others if one.modifier]
    weights = {one.label: rounded((size / one.rms) ** 2) if one.rms > 0.0 else 1.0 for one in learnt}
    reason = "".join(f"; {one.label} has {one.rms:.3g} and counts by its own size" for one in learnt)
    return Choice(weights, reason)


def huber(facts: Facts, labels: list[str]) -> Choice[float | dict[str, float] | None]:
    """Size of errors of forces, or of each label, from which on these count linearly in the loss; None: no such size.

    Args:
        facts: Of the data.
        labels: Those in the loss.
    """
    if "forces" not in labels or not facts.forces_rms:
        return Choice(None, "errors count squared")
    delta = rounded(HUBER_PART * facts.forces_rms)
    reason = f"forces have {facts.forces_rms:.3g} {facts.unit}/Å; errors beyond {delta:g} count linearly"
    if not (varied(facts) and facts.energy_spread and "total_energy" in labels):
        return Choice(delta, reason)
    energies = max(rounded(VARIED_HUBER_PART * facts.energy_spread), HUBER_OTHERS * delta)
    sizes = {"total_energy": energies, "forces": delta, "stress": HUBER_OTHERS * delta}
    reason += f", and those of energies, which compositions leave {facts.energy_spread:.3g} of, beyond {energies:g}"
    return Choice({label: float(f"{sizes[label]:.3g}") for label in labels}, reason)


def rounded(value: float) -> float:
    """The nearest of 1, 2, 3, 5 times a power of ten, by ratio.

    Example:
        >>> [rounded(value) for value in (1.4, 84.0, 0.26)]
        [1.0, 100.0, 0.3]
    """
    power = 10.0 ** math.floor(math.log10(value))
    best = min((1.0, 2.0, 3.0, 5.0, 10.0), key=lambda one: abs(math.log(value / (one * power))))
    return float(f"{best * power:.1g}")


# ------------------------------------------------------------------------------ radius

ENOUGH_NEIGHBORS = 20.0
"""Neighbours of an atom that message passing needs: two shells of most crystals, all near groups of a molecule."""

ENOUGH_LOCAL = 40.0
"""The same for strictly local models, which see no further than this."""

SECOND_SHELL = 1.5
"""Nearest distances within which the second shell of neighbours is."""

MOST_OF_A_MOLECULE = 0.5
"""A molecule has few atoms: this part of the others is enough."""


def radius(facts: Facts, family: Family) -> Choice[float]:
    """The cutoff radius r_max in Å: the smallest that sees enough."""
    found = facts.surroundings
    wanted = ENOUGH_LOCAL if family == "allegro" else ENOUGH_NEIGHBORS
    if facts.periodic == "none":
        wanted = min(wanted, MOST_OF_A_MOLECULE * (facts.n_atoms.median - 1.0))
    shell = (SECOND_SHELL if facts.periodic == "all" else 1.0) * found.nearest
    fitting = [one for one in RADII if found.neighbors.get(one, 0.0) >= wanted and one >= shell]
    r_max = fitting[0] if fitting else RADII[-1]
    neighbors = f"{found.neighbors.get(r_max, 0.0):.3g} neighbours within {r_max:g} Å"
    if not fitting:
        return Choice(r_max, f"the largest radius that is tried: an atom has {neighbors}")
    return Choice(r_max, f"an atom has {neighbors} ({wanted:.3g} are enough)")


# ------------------------------------------------------------------------------ model

MANY_ATOMS = 1000
"""Atoms of a frame of middle size from which on the strictly local family is taken."""

STEPS_WANTED, STEPS_A_MINUTE, MOST_EPOCHS, MOST_WANTED = 4000, 1200, 800, 50_000
"""Optimizer steps that a model should get: at least, for each minute, and at most, as passes over the frames and in
all; of the sizes, the largest that gets them is taken."""

VARIED_STEPS_A_MINUTE = 400
"""For each minute with more than ``MANY_ELEMENTS`` elements, whose batches are larger."""

TAIL, AROUND = 0.1, 20.0
"""Part of the time that is not spent on steps (validation, refit), and seconds of start, planning, package and report
in a training of any length; the compiled file of longer ones comes on top."""

MANY_ELEMENTS, WIDE = 8, 32
"""With more elements than the first, models have at least so many scalar features."""


def family(facts: Facts, asked: Family | None) -> Choice[Family]:
    """The family of the model."""
    if asked is not None:
        return Choice(asked, "asked for")
    if facts.n_atoms.median >= MANY_ATOMS:
        return Choice("allegro", f"frames have {facts.n_atoms.median:.0f} atoms: a strictly local model can be divided")
    return Choice(
        "nequip", f"learns more from few frames; frames have {facts.n_atoms.median:.0f} atoms, no need to divide"
    )


def sizes(facts: Facts, family: Family) -> tuple[Size, ...]:
    """Sizes that are tried, from small to large."""
    if not varied(facts):
        return SIZES[family]
    return tuple(one for one in SIZES[family] if one.width >= WIDE)


def varied(facts: Facts) -> bool:
    """Whether there are many elements, so that one frame shows little of them."""
    return len(facts.elements) > MANY_ELEMENTS


def steps_wanted(facts: Facts, minutes: float, epoch: int) -> int:
    """Optimizer steps that a model should get in a time, with so many in an epoch: what is left is for its size."""
    rate = VARIED_STEPS_A_MINUTE if varied(facts) else STEPS_A_MINUTE
    return max(round(min(rate * minutes, MOST_EPOCHS * epoch, MOST_WANTED)), STEPS_WANTED)


def steps_in(minutes: float, seconds: float) -> int:
    """Optimizer steps in so many minutes, if each takes so many seconds."""
    total = 60.0 * minutes
    compiling = COMPILE if COMPILE_PART * total >= COMPILE else 0.0
    return max(int((total * (1.0 - TAIL) - AROUND - compiling) / seconds), 1)


# ------------------------------------------------------------------------------ batches and training

EDGES_PER_STEP, MOST_FRAMES, MOST_ENERGIES = 800, 5, 32
"""Edges that a batch should have, most frames of it, and the same where energies alone are learnt."""

VARIED_EDGES = 5.0
"""With more than ``MANY_ELEMENTS`` elements, batches have so many times more edges."""

MANY_FRAMES, MORE_FRAMES = 10_000, 16
"""With more frames than the first, batches may have so many."""

LEARNING_RATE, NARROW = 0.03, 16
"""Of Adam in float32 for models of so many scalar features; it falls with the root of their number."""

PRESET_LEARNING_RATE, VARIED_LEARNING_RATE = 0.01, 0.005
"""For presets, whose widths are from 64 to 128, and with more than ``MANY_ELEMENTS`` elements."""

ENERGY_LEARNING_RATE = 0.002
"""Where energies alone are learnt, whose gradients are noisier."""

WARMUP_PART, MOST_WARMUP = 0.02, 200
"""Part of the steps in which the learning rate rises, and at most how many."""

SHORT_EMA, LONG_EMA, LONG_FROM = 0.99, 0.999, 5000
"""Decay of the average of the weights below and from this number of steps."""

VALIDATIONS, VALIDATION_SHARE, LUCK = 50, 0.1, 0.2
"""Number of validations of a training, the part of its time that they may take, and the part, divided by the root of
the number of frames, by which the least of all validation errors may be smaller than the last by luck alone."""


def batch_size(facts: Facts, r_max: float, train: int, *, forces: bool) -> Choice[int]:
    """Frames of a batch."""
    edges = facts.edges_per_frame(r_max)
    most = MORE_FRAMES if facts.n_frames > MANY_FRAMES else MOST_FRAMES
    if not forces:
        most = MOST_ENERGIES
    wanted = EDGES_PER_STEP * (VARIED_EDGES if varied(facts) else 1.0)
    size = max(1, min(round(wanted / edges), most, max(1, train // 4)))
    kind = "" if forces else "; a frame has one label"
    if varied(facts):
        kind += f"; of {len(facts.elements)} elements a single frame shows few"
    return Choice(size, f"a frame of middle size has {edges:.0f} edges within {r_max:g} Å{kind}")


def learning_rate(facts: Facts, width: int, *, forces: bool) -> Choice[float]:
    """Learning rate of Adam; ``width`` has the scalar features of the model, 0 if a preset says."""
    if not forces:
        return Choice(ENERGY_LEARNING_RATE, "energies alone give noisier gradients than forces")
    if varied(facts):
        return Choice(VARIED_LEARNING_RATE, f"with {len(facts.elements)} elements a higher one made errors jump")
    if not width:
        return Choice(PRESET_LEARNING_RATE, "of presets, whose sizes differ")
    rate = rounded(LEARNING_RATE * math.sqrt(NARROW / width))
    return Choice(rate, f"found by trial for {NARROW} features; the model has {width}")


def warmup_steps(steps: int) -> int:
    """Steps in which the learning rate rises."""
    return min(max(round(WARMUP_PART * steps), 1), MOST_WARMUP)


def ema_decay(steps: int) -> Choice[float]:
    """Decay of the average of the weights."""
    decay = LONG_EMA if steps >= LONG_FROM else SHORT_EMA
    return Choice(decay, f"about {steps} steps: the average is over the last {1.0 / (1.0 - decay):.0f}")


def validation_interval(steps: int, split: Split, batch: int) -> Choice[dict[str, Any]]:
    """Options of the trainer that say when to validate."""
    fair = EVALUATION_COST * split.val / (VALIDATION_SHARE * batch)
    interval = max(math.ceil(max(steps / VALIDATIONS, fair)), 1)
    epoch = math.ceil(split.train / batch)
    reason = f"every {interval} steps or so: about {max(steps // interval, 1)} times; an epoch has {epoch}"
    if interval < epoch:
        return Choice({"check_val_every_n_epoch": None, "val_check_interval": interval}, reason)
    return Choice({"check_val_every_n_epoch": max(round(interval / epoch), 1)}, reason)


# ------------------------------------------------------------------------------ close contacts

SHORTEST_REPULSION, LONGEST_REPULSION = 0.6, 1.0
"""Distances in sums of covalent radii between which the repulsion of pairs ends, besides what is learnt."""


def repulsion(facts: Facts) -> Choice[float]:
    """Distance in sums of covalent radii at which the repulsion of ZBL ends: where the data begin."""
    contact = facts.surroundings.contact
    if math.isinf(contact):
        reason = "no two atoms are near each other in the data, which cannot teach the model that they repel"
        return Choice(LONGEST_REPULSION, reason)
    end = min(max(math.floor(20.0 * contact) / 20.0, SHORTEST_REPULSION), LONGEST_REPULSION)
    return Choice(end, f"the closest atoms are at {contact:.2f} sums of covalent radii; nearer ones must repel too")
