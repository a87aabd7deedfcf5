"""What the run was: model, parameters, seeds, versions, machine, digests."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from equipot import __version__
from equipot.files import file_digest
from equipot_fit._report._html import Markup, code, element, escaped, joined, number, paragraph, table
from equipot_fit._report._section import Data, Section

if TYPE_CHECKING:
    from equipot_fit._report._subject import Subject


def data(subject: Subject) -> Data:
    """Facts of the model's file, the config and this machine."""
    run, model, manifest = subject.run, subject.stored_model, subject.manifest
    config = run.config
    section = config.get("data") if isinstance(config.get("data"), dict) else {}
    model_file = run.model or Path()
    return {
        "model": {
            "target": str(model.config.get("_target_", "")).rpartition(".")[2],
            "parameters": sum(one.numel() for one in model.parameters() if one.requires_grad),
            "r_max": model.info.r_max, "dtype": model.info.model_dtype, "locality": model.info.locality,
            "types": list(model.info.type_names), "outputs": list(model.info.outputs), "units": model.info.units,
            "modifiers": [str(one.get("name")) for one in manifest.modifiers],
            "options": {key: value for key, value in model.config.items() if _is_option(key, value)},
        },
        "training": {
            "seeds": {
                "config": config.get("seed"), "data": (section or {}).get("seed"), "model": model.config.get("seed"),
            },
            "epoch": manifest.provenance.get("epoch"), "step": manifest.provenance.get("step"),
            "seconds": run.seconds(), "complete": bool(run.results),
            "automatic_modifiers": run.results.get("automatic_modifiers", {}), "fit": run.fit, "plan": run.plan,
        },
        "versions": manifest.versions,
        "plugins": manifest.plugins,
        "digests": {model_file.name: file_digest(model_file), "config.json": file_digest(run.path / "config.json")},
        "reported_with": {"equipot": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "machine": machine(),
    }  # fmt: skip


def _is_option(key: str, value: object) -> bool:
    return isinstance(value, (int, float, str, bool)) and key != "_target_"


def machine() -> Data:
    """This machine."""
    found: dict[str, Any] = {"system": platform.platform(), "processor": _processor(), "cores": os.cpu_count()}
    found["memory_gb"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def _processor() -> str:
    """Its name, on Linux that of the kernel."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def draw(data: Data) -> str:
    """Tables of facts."""
    model, training = data["model"], data["training"]
    options = ", ".join(f"{key} {_short(value)}" for key, value in model["options"].items())
    rows: list[tuple[str, object]] = [
        (
            "model",
            (
                f"{model['target']}, {model['parameters']} trainable parameters, {model['dtype']}, "
                f"r_max {model['r_max']:g} Å, {model['locality']}"
            ),
        ),
        ("elements", " ".join(model["types"])),
        ("options", options),
        ("outputs", " ".join(model["outputs"])),
        ("modifiers", " ".join(model["modifiers"]) or "none"),
        ("seeds", ", ".join(f"{key} {value}" for key, value in training["seeds"].items() if value is not None)),
        ("weights", _weights(training)),
        ("time", _time(training)),
        *_fit(training["fit"]),
        ("kernels", ", ".join(map(str, training["automatic_modifiers"])) or "none was chosen automatically"),
        ("trained with", ", ".join(f"{key} {value}" for key, value in data["versions"].items())),
        ("reported with", ", ".join(f"{key} {value}" for key, value in data["reported_with"].items())),
        ("this machine", ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in data["machine"].items())),
        *((f"SHA-256 of {name}", element("code", digest)) for name, digest in data["digests"].items()),
    ]
    parts: list[object] = [table(("what", "value"), rows, texts=("value",))]
    if not training["complete"]:
        parts.insert(
            0,
            paragraph(
                "The run has not ended yet, or was interrupted: there is no results.json. The numbers are those of its "
                "last checkpoints."
            ),
        )
    if training["plan"]:
        parts += [element("h3", "The plan of the training, with reasons"), code(training["plan"])]
    return joined(parts)


def _fit(fit: Data) -> list[tuple[str, object]]:
    """What ``equipot fit`` says of itself, one row for all single values and one for each group of them."""
    single = {key: value for key, value in fit.items() if isinstance(value, (int, float, str))}
    groups = {key: value for key, value in fit.items() if isinstance(value, dict) and value}
    rows: list[tuple[str, object]] = [(f"fit: {key.replace('_', ' ')}", _pairs(value)) for key, value in groups.items()]
    return [("fit", _pairs(single)), *rows] if single else rows


def _pairs(values: Data) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {_short(value)}" for key, value in values.items())


def _short(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _weights(training: Data) -> Markup:
    epoch, step = training["epoch"], training["step"]
    return escaped("not recorded" if epoch is None else f"after epoch {epoch + 1}, step {step}")


def _time(training: Data) -> str:
    seconds = training["seconds"]
    return (
        "not recorded"
        if seconds is None
        else f"{seconds / 60.0:.1f} min of training (as the run says, or by the times of its files)"
    )


SECTION = Section("origin", "What it is and where it comes from", data, draw)
