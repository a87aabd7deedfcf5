"""Values that no option expects."""

from __future__ import annotations

from typing import Any

ODD: dict[str, Any] = {
    "null": None,
    "true": True,
    "a list": [],
    "a nested list": [[[1]]],
    "a mapping": {},
    "a text": "x",
    "empty": "",
    "minus one": -1,
    "zero": 0,
    "half": 0.5,
    "nan": float("nan"),
    "infinite": float("inf"),
    "minus infinite": float("-inf"),
    "huge": 10**30,
    "5000 digits": 10**4200,
    "long text": "x" * 100_000,
    "escapes": "\x1b[2Jgone\nnext\x07",
    "a statistic": "${training_data_stats:num_neighbors_mean}",
}
"""Values, by name."""
