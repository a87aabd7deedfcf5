"""Errors of a model on labelled frames: numbers for tables, files of predictions, and parity plots."""

from __future__ import annotations

from equipot.evaluate._evaluate import Reading, evaluate, evaluate_frames
from equipot.evaluate._evaluation import Compared, EvaluatedFrame, Evaluation, Group, WithoutComposition, Worst
from equipot.evaluate._files import parity_plot, write_csv, write_predictions
from equipot.evaluate._stored_predictions import StoredPredictions

__all__ = [
    "Compared",
    "EvaluatedFrame",
    "Evaluation",
    "Group",
    "Reading",
    "StoredPredictions",
    "WithoutComposition",
    "Worst",
    "evaluate",
    "evaluate_frames",
    "parity_plot",
    "write_csv",
    "write_predictions",
]
