"""Options that have another form in nequip: one function for each kind of component.

Each function takes a node of a config with its ``_target_``, interpolations unresolved, and returns its counterpart
in a config of equipot. If the result has another ``_target_``, it replaces the one of the table.
"""

from __future__ import annotations

from typing import Any

from equipot.errors import ConfigError, problem
from equipot_from_nequip._facts import FIXED, HINTS, IGNORED

Options = dict[str, Any]

TOOLBOX = "equipot_toolbox"


def without(options: Options, *names: str) -> Options:
    """The options except those named."""
    return {key: value for key, value in options.items() if key not in names}


# --- models ------------------------------------------------------------------


def model_builder(options: Options) -> Options:
    """A builder, without options about how nequip runs; options with a fixed value here must have that value."""
    wrong = [
        problem(name, f"is always {FIXED[name]!r}", got=options[name])
        for name in FIXED
        if name in options and options[name] != FIXED[name]
    ]
    if wrong:
        raise ConfigError(wrong)
    return without(options, *IGNORED, *FIXED)


def energy_model(options: Options) -> Options:
    """A builder of an older nequip, for models without forces."""
    return {**model_builder(options), "do_derivatives": False}


def zbl(options: Options) -> Options:
    """The repulsion, without options that nequip fills in itself."""
    return without(options, "type_names", "per_atom_energy_field", "irreps_in")


def modify(options: Options) -> Options:
    """Modifiers except those that only make nequip faster; the model itself if none is left."""
    given, model = options.get("modifiers"), options.get("model")
    if not isinstance(given, list):
        raise ConfigError(problem("modifiers", "must be a list", got=given, hint="list the modifiers of the one model"))
    kept = [item for item in given if not (isinstance(item, dict) and item.get("modifier") in HINTS)]
    if kept or not isinstance(model, dict):
        return {**options, "modifiers": kept}
    return model


def packaged_model(path: str) -> str:
    """The path of a package of equipot.

    Raises:
        ConfigError: If it is a package of nequip; the error has the command that converts it.
    """
    if str(path).endswith(".nequip.zip"):
        ours = str(path).removesuffix(".nequip.zip") + ".equipot.zip"
        hint = f"equipot import-nequip {path} {ours} --i-trust-this-file, then use that file"
        raise ConfigError(problem("package_path", "is a package of nequip", got=path, hint=hint))
    return path


def from_package(options: Options) -> Options:
    """A packaged model to start from."""
    packaged_model(options.get("package_path", ""))
    return without(options, *IGNORED)


def from_checkpoint(options: Options) -> Options:
    """A trained model to start from."""
    return without(options, *IGNORED)


# --- training ----------------------------------------------------------------


def training_module(options: Options) -> Options:
    """A Lightning module, without options that nequip fills in itself."""
    empty = [name for name, value in options.items() if value is None]
    return without(options, "num_datasets", "info_dict", *empty)


def measure(options: Options) -> Options:
    """Losses and metrics of core, or of the toolbox if they need options that core's do not have.

    A coefficient ``null`` means the same as a missing one.
    """
    options = without(options, "type_names")  # the model's
    coeffs = options.get("coeffs")
    more = any(options.get(name) is not None for name in ("extra_metrics", "ignore_nan"))
    if isinstance(coeffs, dict):
        coeffs = {key: value for key, value in coeffs.items() if value is not None}
        more = more or 0 in coeffs.values()
        options = {**options, "coeffs": coeffs}
    if not more:
        return without(options, "extra_metrics", "ignore_nan")
    return {**options, "_target_": f"{TOOLBOX}.{options['_target_'].rpartition('.')[2]}"}


def global_options(options: Options) -> Options:
    """Global options of nequip, of which TF32 must be off.

    Raises:
        ConfigError: If TF32 is on, or an option is unknown.
    """
    problems = [problem(name, "has no counterpart", got=options[name]) for name in options if name != "allow_tf32"]
    if options.get("allow_tf32"):
        hint = "add to trainer.callbacks: {_target_: equipot_toolbox.TF32Scheduler, schedule: {0: true}}"
        problems.append(problem("allow_tf32", "has no counterpart", got=options["allow_tf32"], hint=hint))
    if problems:
        raise ConfigError(problems)
    return options
