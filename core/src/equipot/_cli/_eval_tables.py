"""The tables of ``equipot eval``, at most 80 characters wide."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipot._cli.common import print_table, say
from equipot.fields import FIELDS
from equipot.quantities import ENERGY

if TYPE_CHECKING:
    from equipot.evaluate import Evaluation, Group

_KINDS = ("RMSE", "MAE", "max")
_SHOWN = 15
"""Rows of a table; the others are in the JSON."""
_WORST = 3
_WIDTH = 80
_NAME = 14
_SAID = "in the JSON (--json, --out)"


def print_evaluation(found: Evaluation, origin: str) -> None:
    """Print the labels and where they were read, all errors, and the worst frames.

    Args:
        found: What was found.
        origin: Who says under which keys the labels are.
    """
    files = list(dict.fromkeys(one.file for one in found.frames))
    say(f"{found.n_frames} frames" + (f" of {len(files)} files" if len(files) > 1 else ""))
    say(f"labels by {origin}:")
    _print_labels(found)
    print()
    _print_totals(found)
    _print_isolated(found)
    _print_elements(found)
    _print_groups("config type", found.by_config_type(), found)
    _print_groups("file", found.by_file(), found)
    _print_worst(found)
    if found.uncertainties is not None:
        print()
        for line in found.uncertainties.lines():
            say(line)


def _print_labels(found: Evaluation) -> None:
    for label, facts in found.labels().items():
        sources = ", ".join(facts["sources"])
        text = f"  {label}: {sources or facts['key']}"
        if facts["convention"] != "stress":
            text += f" ({facts['convention']})"
        text += f", {facts['frames']} frames" if sources else ", in no frame"
        text += "".join(f", {count} not used ({reason})" for reason, count in facts["ignored"].items())
        if facts["frames"] and label not in found.outputs and not facts["compared"]:
            text += "; the model does not predict it"
        say(_cut(text))
        if facts["weights"]:
            say(_cut(f"    {_weights(label, facts)}"))


def _weights(label: str, facts: Mapping[str, Any]) -> str:
    """How many atoms are left out because of their weights, and the keys of these with numbers of frames."""
    left_out = f"{facts['zero_weights']} atoms of weight 0 are left out; " * bool(facts["zero_weights"])
    keys = ", ".join(f"{key} ({count})" for key, count in facts["weights"].items())
    return f"{left_out if FIELDS[label].per == 'atom' else ''}weights {keys}"


def _print_totals(found: Evaluation) -> None:
    rows = []
    for one in found.compared:
        errors = one.errors()
        rows.append(_total(one.name, errors))
        if one.weights is not None:
            kinds = (f"{errors[f'weighted_{kind}']:.4g}" for kind in ("rmse", "mae"))
            rows.append(("  weighted", *kinds, "", "", str(one.quantity.unit)))
        if one.name == ENERGY and found.without_composition is not None:
            rows.append(_total("  less composition", found.without_composition.errors))
    print_table(rows, header=("quantity", *_KINDS, "values", "unit"), numbers=(*_KINDS, "values"))
    if any(one.weights is not None for one in found.compared):
        say("weighted: by the weights of the data, as metrics in training; all else is not")
    if found.without_composition is not None:
        offsets = found.without_composition.offsets
        say(_cut(f"composition, meV: {', '.join(f'{name} {_number(value)}' for name, value in offsets.items())}"))
        if found.without_composition.rank < len(offsets):
            say(f"  (the compositions determine {found.without_composition.rank} of these {len(offsets)} numbers)")


def _total(name: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    return (name, *(f"{row[kind.lower()]:.4g}" for kind in _KINDS), str(row["values"]), str(row["unit"]))


def _print_isolated(found: Evaluation) -> None:
    atoms = found.isolated_atoms()
    if not atoms:
        return
    say(f"\n{len(atoms)} isolated atoms, which are not part of the errors above or below, eV")
    rows = [(one["element"], f"{one['label_ev']:.4f}", f"{one['prediction_ev']:.4f}") for one in atoms[:_SHOWN]]
    print_table(rows, header=("element", "label", "model"), numbers=("label", "model"))
    _say_more(len(atoms))


def _print_elements(found: Evaluation) -> None:
    by_element = found.by_element()
    for quantity in (one for one in found.compared if one.elements is not None):
        groups = {name: one.errors[quantity.name] for name, one in by_element.items() if quantity.name in one.errors}
        say(f"\nby element: {quantity.name}, {quantity.quantity.unit}")
        worst = sorted(groups.items(), key=lambda one: -float(one[1]["rmse"]))
        rows = [
            (name, *(f"{one[kind.lower()]:.4g}" for kind in _KINDS), str(one["values"])) for name, one in worst[:_SHOWN]
        ]
        print_table(rows, header=("element", *_KINDS, "values"), numbers=(*_KINDS, "values"))
        _say_more(len(groups))


def _print_groups(what: str, groups: Mapping[str, Group], found: Evaluation) -> None:
    if len(groups) < 2:
        return
    units = ", ".join(f"{one.quantity.title} {one.quantity.unit}" for one in found.compared)
    say(f"\nby {what}: RMSE, MAE of {units}")
    titles: list[str] = []
    for index, one in enumerate(found.compared):
        titles += [one.quantity.title, "MAE" + " " * index]  # print_table tells columns apart by their titles
    rows = []
    for name, group in list(groups.items())[:_SHOWN]:
        errors = [group.errors.get(one.name, {}) for one in found.compared]
        cells = [_number(one[kind]) if one else "" for one in errors for kind in ("rmse", "mae")]
        rows.append((_short(name) or "(none)", str(group.n_frames), *cells))
    print_table(rows, header=(what, "frames", *titles), numbers=("frames", *titles))
    _say_more(len(groups))


def _number(value: float | str) -> str:
    """A number of at most seven characters."""
    number, size = float(value), abs(float(value))
    return f"{number:.0f}" if 100 <= size < 1e6 else f"{number:.3g}" if size >= 1e-4 else f"{number:.2g}"


def _print_worst(found: Evaluation) -> None:
    say("\nworst frames: largest error, prediction minus label")
    rows = []
    for one in found.compared:
        for worst in found.worst(_WORST)[one.name]:
            atom = "" if worst.atom is None else f", atom {worst.atom}"
            place, _, frame = worst.place.rpartition(", ")
            error = f"{worst.error:.4g}"
            rows.append((one.quantity.title, error, one.quantity.unit, f"{_short(place, 28)}, {frame}{atom}"))
    print_table(rows, header=("quantity", "error", "unit", "place"), numbers=("error",))


def _say_more(count: int) -> None:
    if count > _SHOWN:
        say(f"and {count - _SHOWN} more {_SAID}")


def _short(name: str, width: int = _NAME) -> str:
    """The end of a name that is too long, for a file without its folders if that is enough."""
    if len(name) > width and Path(name).name:
        name = Path(name).name
    return name if len(name) <= width else f"…{name[1 - width :]}"


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
