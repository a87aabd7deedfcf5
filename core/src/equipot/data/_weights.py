"""Weights of labels: their mean over the train set is made 1, so that only their ratios matter."""

from __future__ import annotations

from collections.abc import Mapping

from equipot.data._collection import FrameCollection
from equipot.data._label_contract import LabelContract
from equipot.data._splits import PARTS


def weight_scales(sets: Mapping[str, FrameCollection], contract: LabelContract) -> dict[str, float]:
    """What the weights of each weighted label are multiplied with, in all sets.

    Args:
        sets: Frames by set; without a train set, the mean is taken over all.
        contract: Labels with the keys of their weights.

    Returns:
        Number of rows (frames or atoms) of the train set that have the label, divided by the sum of their weights.
    """
    counted = [sets[PARTS[0]]] if PARTS[0] in sets else list(sets.values())
    scales = {}
    for label in (name for name, source in contract.items() if source.weights):
        reports = [one[label] for collection in counted for one in collection.reports]
        total = sum(one.weight_sum for one in reports)
        scales[label] = sum(one.rows for one in reports) / total if total else 1.0
    return scales
