"""What all engines share: a calculator for a model, after a check that the engine can give and take what it needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipot.errors import ConfigError, UnavailableError, problem

if TYPE_CHECKING:
    import torch

    from equipot.artifacts import CompiledModel
    from equipot.ase import EquipotCalculator
    from equipot.model import GraphModel, ModelInfo

    Source = str | Path | GraphModel | CompiledModel | EquipotCalculator


def calculator_for(engine: str, model: Source, device: str | torch.device | None = None) -> EquipotCalculator:
    """A calculator of a model for an engine.

    Args:
        engine: The class that asks, for messages.
        model: A file, a model, or a calculator, which is used as it is.
        device: Where to run; default: the CPU.

    Raises:
        ArtifactError: If the file cannot be used.
        ConfigError: If the engine cannot use the model, or a device is given with a calculator.
    """
    from equipot.ase import EquipotCalculator

    if isinstance(model, EquipotCalculator):
        if device is not None:
            hint = "the calculator has a device of its own"
            raise ConfigError(problem(f"{engine}.device", "must not be given with a calculator", got=device, hint=hint))
        calculator = model
    else:
        calculator = EquipotCalculator(model, "cpu" if device is None else device)
    check_usable(engine, calculator.info)
    return calculator


def check_usable(engine: str, info: ModelInfo) -> None:
    """Refuse a model without forces, and one that reads more than atoms and cells.

    Raises:
        ConfigError: Naming what is missing.
    """
    from equipot.fields import OPTIONAL_INPUTS

    where = f"{engine}.model"
    if "forces" not in info.outputs:
        hint = "apply the modifier enable_ForceStressOutput (equipot package modify, equipot compile --modifiers)"
        raise ConfigError(problem(where, f"has no forces, only {list(info.outputs)}", hint=hint))
    if needed := [key for key in OPTIONAL_INPUTS if key in info.inputs]:
        what = f"reads {', '.join(needed)}, which this engine does not give"
        raise ConfigError(problem(where, what, hint="use it in ASE, which reads it from atoms.info"))


def missing(engine: str, distribution: str, extra: str) -> UnavailableError:
    """The error of an engine that is not installed.

    Args:
        engine: The class that needs it.
        distribution: What is missing.
        extra: The extra of this package that brings it; empty if none does.
    """
    hint = f"pip install 'equipot-engines[{extra}]'" if extra else f"install {distribution}"
    return UnavailableError(problem(engine, f"needs {distribution}, which is not installed", hint=hint))


def base_class(module: str, name: str) -> Any:
    """The class of an engine to derive from; ``object`` if the engine is not installed."""
    import importlib
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the engine about itself
        try:
            return getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            if error.name != module.partition(".")[0]:
                raise
            return object
