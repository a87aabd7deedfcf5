"""``equipot kernels``."""

# ruff: noqa: T201 (a command prints)

from __future__ import annotations

import click


@click.command(epilog="\b\nequipot kernels\nequipot kernels model.ckpt")
@click.argument("model", metavar="[MODEL]", required=False, type=click.Path())
def command(model: str | None) -> None:
    """Show which kernels this machine uses: those that came with equipot-kernels, or those built here.

    MODEL is a checkpoint or package: its kernels for energies and forces are loaded, and built where necessary, and
    counted by where they come from.
    """
    for name, fact in diagnosis()[0].items():
        print(f"{name}: {fact}")
    if model is not None:
        print(_of_model(model))


def diagnosis() -> tuple[dict[str, str], list[str]]:
    """Which kernels this machine uses, and what keeps it from using any."""
    from equipot_kernels._build import cache, prebuilt, toolchain
    from equipot_kernels._build.errors import KernelError

    levels, there, broken = prebuilt.supported(), prebuilt.available(), []
    counts = ", ".join(f"{count} for {name}" for name, count in there.items())
    used = next((name for name in levels if name in there), "")
    if used and (bad := prebuilt.unloadable(used)):
        broken.append(
            f"{len(bad)} prebuilt kernels cannot be loaded ({bad[0]}): pip install --force-reinstall equipot-kernels"
        )
    facts = {
        "processor": ", ".join(levels) or "of no level with prebuilt kernels",
        "prebuilt": f"{counts or 'none in this installation'}{f'; used here: {used}' if used else ''}",
        "built here": f"{len(list(cache.folder().glob('*.so')))} in {cache.folder()}",
    }
    try:
        facts["compiler"] = " ".join(toolchain.find_compiler().command)
    except KernelError as error:
        facts["compiler"] = f"none ({error})"
        if not used:
            broken.append(f"no kernels can be used, models run in plain PyTorch: {error}")
    return facts, broken


def _of_model(path: str) -> str:
    from equipot.artifacts import load_model
    from equipot.model import apply_modifier
    from equipot_kernels._build import cache

    apply_modifier(load_model(path), "enable_FusedKernels")
    found = ", ".join(f"{count} {origin}" for origin, count in sorted(cache.origins().items()))
    return f"{path}: {found or 'no kernels, the model runs in plain PyTorch'}"
