"""Errors of a model on labelled frames: numbers for tables, files of predictions, and parity plots."""

from __future__ import annotations

from equipot.evaluate._calibration import Calibration, auroc
from equipot.evaluate._evaluate import Reading, evaluate, evaluate_frames
from equipot.evaluate._evaluation import Compared, EvaluatedFrame, Evaluation, Group, WithoutComposition, Worst
from equipot.evaluate._files import calibration_plot, parity_plot, write_csv, write_predictions
from equipot.evaluate._stored_predictions import StoredPredictions
from equipot.evaluate._uncertainties import Uncertainties

__all__ = [
    "Calibration",
    "Compared",
    "EvaluatedFrame",
    "Evaluation",
    "Group",
    "Reading",
    "StoredPredictions",
    "Uncertainties",
    "WithoutComposition",
    "Worst",
    "auroc",
    "calibration_plot",
    "evaluate",
    "evaluate_frames",
    "parity_plot",
    "write_csv",
    "write_predictions",
]
