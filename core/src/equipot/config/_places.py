"""Places in a config, and the kinds of components that each takes."""

from __future__ import annotations

import re

PLACES: dict[str, tuple[str, ...]] = {
    "data": ("data_module",),
    r"data\.transforms\.\d+": ("transform",),
    r"data\.stats_manager": ("stats_managers",),
    r"data\.stats_manager\.metrics\.\d+\.field": ("field",),
    r"data\.stats_manager\.metrics\.\d+\.metric": ("reduction",),
    r"data\.(train_dataset|val_dataset|test_dataset|split_dataset\.dataset)(\.\d+){0,2}": ("dataset",),
    "trainer": ("trainer",),
    r"trainer\.callbacks(\.\d+)?": ("callback",),
    r"trainer\.logger(\.\d+)?": ("logger",),
    r"trainer\.strategy": ("strategy",),
    r"trainer\.profiler": ("profiler",),
    r"trainer\.plugins(\.\d+)?": ("precision", "cluster_environment"),
    "training_module": ("training_module",),
    r"training_module\.loss": ("loss",),
    r"training_module\.(train|val|test)_metrics": ("metrics", "loss"),  # one class may be either
    r"training_module\.average": ("weight_average",),
    r"training_module\.gradients": ("gradient_combination",),
    r"training_module\.optimizer": ("optimizer",),
    r"training_module\.optimizer\.param_groups": ("parameter_groups",),
    r"training_module\.lr_scheduler(\.scheduler)?(\.schedulers\.\d+)*": ("scheduler",),
    r"training_module(\.model)+": ("model_builders", "recipe"),
    r"training_module(\.model)+\.pair_potential": ("pair_potentials",),
    r"training_module(\.model)+\.energy_terms\.\w+": ("energy_terms", "pair_potentials"),
}
"""Pattern of a dotted path, and kinds of declarations (``pair_potentials``) or of parts (``loss``)."""

_PATTERNS = [(re.compile(pattern), kinds) for pattern, kinds in PLACES.items()]


def kinds_at(path: str) -> tuple[str, ...]:
    """The kinds of components that a place takes; empty if only the component around it knows.

    Example:
        >>> kinds_at("training_module.optimizer"), kinds_at("training_module.loss.metrics.0.metric")
        (('optimizer',), ())
    """
    return next((kinds for pattern, kinds in _PATTERNS if pattern.fullmatch(path)), ())
