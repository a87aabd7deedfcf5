"""``equipot inspect``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from equipot._cli.common import print_table

if TYPE_CHECKING:
    from equipot.artifacts._manifest import Manifest


@click.command
@click.argument("file", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(*, file: str, as_json: bool) -> None:
    """Show what is in a checkpoint, package or compiled file, without executing any part of it.

    The verdict is one of these: safe, needs plugins, contains native code, contains unsafe pickle.
    """
    from equipot.artifacts._inspect import inspect_file

    report = inspect_file(file)
    if as_json:
        print(json.dumps(asdict(report), indent=2, sort_keys=True))
        return
    rows = [
        ("file", f"{report.file} ({report.size / 1024:.0f} kB)"),
        ("verdict", f"{report.verdict}: {report.advice}"),
        ("sha256", report.sha256),
        *(_manifest_rows(report.manifest) if report.manifest else ()),
    ]
    print_table(rows)


_SHOWN_ELSEWHERE = ("inputs", "outputs", "metadata")
"""What other rows say too."""


def _manifest_rows(manifest: Manifest) -> list[tuple[str, str]]:
    model = manifest.model
    rows: list[tuple[str, Any]] = [
        ("format", f"{manifest.kind}, version {manifest.format_version}"),
        ("types", " ".join(map(str, model.get("type_names", [])))),
        ("elements", " ".join(map(str, model.get("chemical_species") or ["not given"]))),
        ("r_max", f"{model.get('r_max')} Å" + (", per pair of types" if model.get("cutoffs") else "")),
        ("dtype", model.get("model_dtype")),
        ("units", model.get("units")),
        ("locality", model.get("locality")),
        ("outputs", " ".join(map(str, model.get("outputs", [])))),
        ("modifiers", " ".join(str(item.get("name")) for item in manifest.modifiers) or "none"),
        ("plugins", _pairs(manifest.plugins) or "none"),
        ("made with", _pairs(manifest.versions)),
        ("provenance", _pairs(manifest.provenance)),
    ]
    if model.get("boundary"):
        limits = ", ".join(f"{name} for {' or '.join(map(str, served))} only" for name, served in model["boundary"])
        rows.append(("frames", limits))
    if manifest.fingerprint:
        rows.append(("fingerprint", manifest.fingerprint))
    if manifest.approximations:
        rows.append(("approximate", _approximations(manifest.approximations)))
    if manifest.compiled:
        shown = {key: value for key, value in manifest.compiled.items() if key not in _SHOWN_ELSEWHERE}
        rows.append(("compiled", _pairs(shown)))
    rows += [("cite", text) for text in manifest.citations]
    return [(name, str(value)) for name, value in rows]


def _approximations(stored: dict[str, Any]) -> str:
    modules, deviations = stored.get("modules", []), stored.get("deviations", {})
    found = ", ".join(f"{key} {value:.1e}" if isinstance(value, float) else key for key, value in deviations.items())
    return f"{', '.join(map(str, modules))}; largest deviations on golden frames: {found}"


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items() if value not in (None, {}, ""))
