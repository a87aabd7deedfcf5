"""Energies of atoms in a run: the rule behind the shifts, and what the trained model says of isolated atoms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from equipot.data._energy_references import AUTO, MEAN, EnergyReferences
from equipot.data.checks._catalogue import Finding
from equipot.data.checks._energy_checks import CONTRADICTED, described, shift_findings
from equipot.units import UNIT_SYSTEMS, Units

if TYPE_CHECKING:
    from equipot.data._base import DataModule
    from equipot.model._graph_model import GraphModel

TRAIN = "train"


class AtomEnergies:
    """What a run reports about energies of atoms.

    Args:
        data: The data, set up and bound to the model.
        statistics: Values of the statistics that the config uses.
    """

    def __init__(self, data: DataModule, statistics: Mapping[str, Any]) -> None:
        self._data = data
        self._units: Units = data.options.units
        self._unit = UNIT_SYSTEMS[self._units].energy
        self._said = {CONTRADICTED.code} if MEAN in statistics else set()
        self._references: EnergyReferences | None = None
        if TRAIN in data.set_names:
            self._references = data.energy_references()
        self.record: dict[str, Any] = {}
        """Plain containers for results and checkpoints: ``shifts`` with rule and reason, ``isolated_atoms``."""
        self.findings: list[Finding] = []
        if self._references is not None and AUTO in statistics:
            self.record["shifts"] = {**self._references.choose().to_dict(), "values": dict(statistics[AUTO])}

    def lines(self) -> list[str]:
        """What is known before training: isolated atoms in the training set, and the rule of the shifts."""
        lines = []
        if self._references is not None and self._references.isolated:
            shown = ", ".join(f"{name} {energy:.6g}" for name, energy in self._references.isolated.items())
            lines.append(f"isolated atoms in the training set ({self._unit}; part of no mean): {shown}")
        if "shifts" in self.record:
            lines.append(_rule(self.record["shifts"]))
        return lines

    def check_shifts(self, model: GraphModel, said: Iterable[str] = ()) -> list[str]:
        """Compare the shifts of a model with the data, also those that the config takes from statistics.

        Args:
            model: Before training.
            said: Codes of checks that the verdict on the data has named or accepted.

        Returns:
            A line for each finding, without what the statistics have said already.
        """
        if self._references is None:
            return []
        shifts, said = model.scale_shift.values("shifts"), set(said)
        found = shift_findings(self._references, shifts, self._units)
        self.findings = [one for one in found if one.code not in said]
        return described([one for one in self.findings if one.code not in self._said])

    def compare(self, model: GraphModel) -> list[str]:
        """Compare what a model says of isolated atoms with the data, and keep it in the record.

        Args:
            model: After training.

        Returns:
            Lines for the summary of the run.
        """
        compared = isolated_atoms(self._data, model)
        lines = [f"{one.severity}: {one.message}" for one in self.findings]
        if compared:
            self.record["isolated_atoms"] = compared
            shown = ", ".join(
                f"{name} {one['model']:.6g} ({one['model'] - one['data']:+.3g})" for name, one in compared.items()
            )
            lines.append(f"isolated atoms by the model (minus the data), {self._unit}: {shown}")
        return lines


def isolated_atoms(data: DataModule, model: GraphModel) -> dict[str, dict[str, float]]:
    """Energy of the isolated atom of each type in the data, and what a model says of it.

    Args:
        data: The first isolated atom of a type in any set counts; those with a charge do not.
        model: A model with the same types.

    Returns:
        ``{type: {"data": energy, "model": energy}}`` in the unit of the data.
    """
    found: dict[str, dict[str, float]] = {}
    device = next((one.device for one in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    for dataset in (data.dataset(name) for name in data.set_names):
        for index in [index for index, isolated in enumerate(dataset.isolated_atoms()) if isolated]:
            frame = dataset[index]
            name = model.info.type_names[int(frame["atom_types"][0])]
            if name in found or not _is_reference(frame):
                continue
            outputs = model({key: value.to(device) for key, value in frame.items()})
            energies = {"data": frame["total_energy"], "model": outputs["total_energy"].detach()}
            found[name] = {who: float(energy[0]) for who, energy in energies.items()}
    return {name: found[name] for name in model.info.type_names if name in found}


def _is_reference(frame: Mapping[str, torch.Tensor]) -> bool:
    """Whether the frame of an isolated atom has an energy, and no charge."""
    present = "total_energy" in frame and bool(frame.get("total_energy_mask", torch.ones(1)).all())
    return present and not bool(frame.get("total_charge", torch.zeros(1)).any())


def _rule(chosen: Mapping[str, Any]) -> str:
    """The rule that gave the shifts, as a line; a mean is a makeshift, and said to be one."""
    text = f"{AUTO}: from {'the mean energy per atom' if chosen['rule'] == 'mean' else chosen['rule']}"
    if chosen["rule"] == "mean":
        advice = "add isolated atoms of the same method, or use per_type_energy_shifts_min_norm"
        return f"warning: {text}: {chosen['reason']}; {advice}"
    return f"{text}: {chosen['reason']}"
