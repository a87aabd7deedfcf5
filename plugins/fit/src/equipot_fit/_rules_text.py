"""The rules in words, with their numbers; the page on what fit decides is made from them."""

from __future__ import annotations

import textwrap
from typing import NamedTuple

from equipot_fit import _facts as facts
from equipot_fit import _geometry as geometry
from equipot_fit import _rules as rules
from equipot_fit import _tail as tail
from equipot_fit._other_labels import LEAST_PART
from equipot_fit._sizes import SIZES, Size


class Rule(NamedTuple):
    """One decision in words."""

    title: str
    options: str
    """Where the config has it."""
    rule: str
    reason: str


def _percent(part: float) -> str:
    return f"{100.0 * part:g} %"


def _data() -> list[Rule]:
    return [
        Rule(
            "Labels",
            "data.labels, training_module.loss",
            "Energies, forces and stress are read under ASE's names; where no label has such a name, keys "
            "are taken that "
            "look like one (`REF_energy`, `dft_forces`, `virial`), and this is said. A label that fewer than "
            f"{_percent(rules.LEAST_PART)} of the frames have is left out; one that fewer than "
            f"{_percent(rules.JUDGED_FROM)} have is learnt, but does not choose the best weights. Stress "
            "is learnt only "
            "together with forces.",
            "Frames without a label do not count in its term, so that no frame needs to be thrown away.",
        ),
        Rule(
            "Other labels",
            "training_module.model.modifiers, training_module.loss.coeffs",
            "Labels that plugins declare are looked for by what their keys are called. One is learnt if an installed "
            "modifier adds a head for it that serves the boundary conditions and charges of the frames, and "
            f"{_percent(LEAST_PART)} of the frames have it. Its weight is the square of rms force / rms label. "
            "Others are named with the reason.",
            "What is in a file is either learnt or said to be left out; errors of different units then count alike.",
        ),
        Rule(
            "Checks",
            "data.accept",
            "All of core's checks of the data are made. An error stops; warnings are said; `--accept "
            "CODE` accepts one.",
            "A wrong unit or sign is found in a second here, and not after the training.",
        ),
        Rule(
            "Split",
            "data.split_dataset",
            f"{_percent(rules.VALIDATION)} of the frames validate, at least {rules.FEWEST_VALIDATION} (but at most "
            f"{_percent(rules.LARGEST_PART)} of a small set) and at most {rules.MOST_VALIDATION}. From "
            f"{rules.TEST_FROM} frames on, {_percent(rules.TEST)} are kept for a test (at most "
            f"{rules.MOST_TEST}), unless "
            f"`--test` names files. Isolated atoms always train. At least {facts.FEWEST_FRAMES} frames are needed.",
            "Validation chooses the best weights, which takes few frames; a small set needs its frames to learn from.",
        ),
        Rule(
            "Which frames go together",
            "data.split_dataset.by",
            "If most frames resemble the one before them (mean square displacement below "
            f"{_percent(geometry.FOLLOWS)} of that of frames far apart), they are steps of a trajectory: "
            "then blocks of "
            f"{rules.BLOCK_MEMORIES} times the number of frames after which half of that is reached stay together, as "
            f"long as there are {rules.FEWEST_BLOCKS} blocks. Else each composition and `config_type` is "
            "spread evenly, "
            f"where there are {rules.FRAMES_OF_A_KIND} frames for each; else the split is random.",
            "A frame between two that were learnt tests nothing.",
        ),
        Rule(
            "Energies of atoms",
            "training_module.model.per_type_energy_shifts",
            "Isolated atoms if there is one of each element, else least squares of the energies per atom with a ridge "
            "towards their mean, as strong as the data make most likely; of a single composition the mean, of a single "
            "element least squares alone.",
            "The model then learns energies of bonds, which are a thousand times smaller than those of atoms.",
        ),
    ]


def _model() -> list[Rule]:
    radii = ", ".join(f"{one:g}" for one in geometry.RADII)
    return [
        Rule(
            "Cutoff radius",
            "training_module.model.r_max",
            f"The smallest of {radii} Å within which an atom has {rules.ENOUGH_NEIGHBORS:g} neighbours "
            f"({rules.ENOUGH_LOCAL:g} for the strictly local family; in molecules "
            f"{_percent(rules.MOST_OF_A_MOLECULE)} of the other atoms are enough), and which is at least the distance "
            f"to the nearest neighbour of 95 % of the atoms, in periodic data {rules.SECOND_SHELL:g} times that.",
            "The time of a step grows with the number of neighbours, and messages carry what is farther away.",
        ),
        Rule(
            "Family",
            "training_module.model._target_",
            f"NequIP-like, unless `--model allegro` is given or frames of middle size have {rules.MANY_ATOMS} atoms.",
            "Message passing sees further with the same radius; strictly local models can be divided over processes. "
            "Which is more accurate depends on data and time, see [below](#families-compared).",
        ),
        Rule(
            "Size",
            "training_module.model",
            f"The largest of the sizes below that gets {rules.STEPS_A_MINUTE} steps for each minute "
            f"({rules.VARIED_STEPS_A_MINUTE} with more than {rules.MANY_ELEMENTS} elements), at least "
            f"{rules.STEPS_WANTED} and at most {rules.MOST_EPOCHS} epochs and {rules.MOST_WANTED} steps in all, in "
            f"{_percent(1.0 - rules.TAIL)} of the "
            f"time, less {rules.AROUND:g} seconds, and {tail.COMPILE:g} for the compiled file where that is at most "
            f"{_percent(tail.COMPILE_PART)} of the time. `equipot fit` times the steps of some sizes on the data; "
            "`equipot new` expects for a step the fixed "
            "milliseconds and those for each thousand edges of the batch, as in the tables. With more than "
            f"{rules.MANY_ELEMENTS} elements, sizes with fewer than {rules.WIDE} scalar features are left out. "
            "`--preset` takes one of the presets instead.",
            "A large model that is stopped early is worse than a smaller one that has converged; in "
            "[trials](recipe.md) of 15 minutes more steps were worth more than more features, but not further passes "
            "over few frames.",
        ),
        Rule(
            "Scale",
            "training_module.model.per_type_energy_scales",
            "The size of the forces: their root mean square, but where that is more than "
            f"{facts.TAILED:g} times what normally distributed forces of the same mean size have, that of these. "
            "Without forces, the spread of the energies per atom about least squares times the root of the number of "
            "atoms.",
            "A model begins with forces of this size. A few large ones would make it start far from most others.",
        ),
        Rule(
            "Repulsion",
            "training_module.model.pair_potential",
            "Pairs of atoms always have the screened nuclear repulsion of ZBL. It ends at the distance of the closest "
            f"atoms of the data, in sums of covalent radii, but not below {rules.SHORTEST_REPULSION:g} nor above "
            f"{rules.LONGEST_REPULSION:g} of them.",
            "No data set has all collisions; without it, atoms that come closer than in the data may fall "
            "into each other. At the lengths of bonds it would be several eV for each, which energies of atoms do not "
            "hold and the model would first have to learn away.",
        ),
        Rule(
            "Similar elements",
            "training_module.model.type_embed_periodic_table",
            f"With more than {rules.MANY_ELEMENTS} elements, those near each other in the periodic table begin with "
            "similar embeddings in the NequIP-like family.",
            "What is learnt of one element then holds for similar ones, of which there are few frames, until training "
            "tells them apart.",
        ),
        Rule(
            "Numbers",
            "training_module.model.model_dtype",
            "float32, and kernels wherever they are installed.",
            "Rounding is far below any error of the model, and steps are twice as fast as in float64.",
        ),
    ]


def _training() -> list[Rule]:
    return [
        Rule(
            "Time",
            "trainer.callbacks",
            f"`--minutes`; without it {rules.TYPICAL_MINUTES:g} minutes for {rules.TYPICAL_ATOMS} labelled "
            "atoms, growing "
            f"with the square root of their number, between {rules.SHORTEST} and {rules.LONGEST} minutes.",
            "Twice the data do not need twice the time: errors fall with a small power of both.",
        ),
        Rule(
            "Weights of the loss",
            "training_module.loss.coeffs",
            f"Errors of energies are per atom. Forces weigh 1, energies {rules.ENERGY_WEIGHT:g}, stress "
            f"{rules.STRESS_WEIGHT:g}. In frames of more than {rules.FINAL_FROM} atoms energies weigh "
            f"{rules.FINAL_ENERGY_WEIGHT:g} while the learning rate declines, unless there are more than "
            f"{rules.MANY_ELEMENTS} elements.",
            "In [trials](recipe.md) heavier energies did not help small molecules, and helped cells at little cost.",
        ),
        Rule(
            "Large errors",
            "training_module.loss.huber",
            f"Errors of forces beyond {_percent(rules.HUBER_PART)} of the rms force count linearly, and those of "
            f"energies per atom and stress beyond {_percent(rules.HUBER_OTHERS)} of the number for forces. With more "
            f"than {rules.MANY_ELEMENTS} elements energies have a size of their own: "
            f"{_percent(rules.VARIED_HUBER_PART)} of what least squares over compositions leave of them.",
            "In [trials](recipe.md) forces and energies came out better than with squares throughout. Where "
            "compositions leave much of the energies, these would hardly be learnt besides forces.",
        ),
        Rule(
            "Best weights",
            "training_module.val_metrics",
            "Those with the smallest sum of mean absolute errors, weighted by the roots of the final "
            "weights of the loss; but the last ones, after the decline of the learning rate, if their sum is at most "
            f"{_percent(rules.LUCK)}, divided by the root of the number of validation frames, above the smallest.",
            "Energies and forces then count as in the loss. The smallest of many sums over few frames owes part of its "
            "size to luck, and weights that came to rest are often better than it tells.",
        ),
        Rule(
            "Batch",
            "data.train_dataloader",
            f"As many frames as have {rules.EDGES_PER_STEP} edges, or {rules.VARIED_EDGES:g} times that with more than "
            f"{rules.MANY_ELEMENTS} elements, at most {rules.MOST_FRAMES} "
            f"({rules.MORE_FRAMES} with "
            f"more than {rules.MANY_FRAMES} frames, {rules.MOST_ENERGIES} where only energies are learnt), "
            "and never more "
            "than a quarter of the training set.",
            "Below that a step costs the same; above it, twice the frames teach less than twice the steps. Of many "
            "elements a single frame shows few, and its energy would pull at those of all others.",
        ),
        Rule(
            "Learning rate",
            "training_module.optimizer, training_module.lr_scheduler",
            f"Adam with {rules.LEARNING_RATE:g} times the root of {rules.NARROW} / width of the model, "
            f"{rules.PRESET_LEARNING_RATE:g} for presets, "
            f"{rules.VARIED_LEARNING_RATE:g} with more than {rules.MANY_ELEMENTS} elements, "
            f"{rules.ENERGY_LEARNING_RATE:g} where only energies are learnt. It rises in the first "
            f"{_percent(rules.WARMUP_PART)} of the steps (at most {rules.MOST_WARMUP}), stays, and "
            "declines to 0 when the "
            "time ends.",
            "What is learnt while the rate declines is a large part of the accuracy, so that the decline must fit in. "
            "With many elements, errors jump at a rate that is good for few.",
        ),
        Rule(
            "Average of the weights",
            "training_module.ema_decay",
            f"{rules.SHORT_EMA:g}, from {rules.LONG_FROM} steps on {rules.LONG_EMA:g}.",
            "The average must be short in comparison with the training.",
        ),
        Rule(
            "Validation and early decline",
            "trainer.check_val_every_n_epoch, trainer.val_check_interval",
            f"About {rules.VALIDATIONS} times in a training, but in at most {_percent(rules.VALIDATION_SHARE)} of its "
            "time. If it does not improve for a long time, the learning rate declines from then on, to the end of "
            "the time.",
            "The best weights are found, and a training that does not improve at the full rate may at a smaller one.",
        ),
        Rule(
            "Seed",
            "data.seed, training_module.model.seed",
            "1, or `--seed`: for the split, the order of batches and the first weights.",
            "The same data, options and seed give the same config.",
        ),
    ]


def _table(name: str, sizes: tuple[Size, ...]) -> list[str]:
    names = [key for key in sizes[0].options if key != "parity"]
    head = [f"`{one}`" for one in names] + ["ms, fixed", "ms for 1000 edges"]
    lines = [f"Sizes of the {name}-like family:", "", f"| {' | '.join(head)} |", "|" + " --: |" * len(head)]
    for one in sizes:
        cells = [str(one.options[key]) for key in names] + [f"{1e3 * one.fixed:g}", f"{1e6 * one.per_edge:g}"]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 120, break_long_words=False, break_on_hyphens=False)


def rules_text() -> str:
    """All rules as Markdown."""
    lines: list[str] = []
    for heading, group in (("Data", _data()), ("Model", _model()), ("Training", _training())):
        lines += [f"## {heading}", ""]
        for one in group:
            places = ", ".join(f"`{place}`" for place in one.options.split(", "))
            said = (f"{places}: {one.rule}", f"Why: {one.reason}")
            lines += [f"### {one.title}", "", *(line for text in said for line in (*_wrapped(text), ""))]
        if heading == "Model":
            lines += [line for name, sizes in SIZES.items() for line in _table(name, sizes)]
    return "\n".join(lines)
