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
    from equipot_kernels._build import cache, prebuilt, toolchain
    from equipot_kernels._build.errors import KernelError

    levels = prebuilt.supported()
    there = prebuilt.available()
    print(f"processor: {', '.join(levels) or 'of no level with prebuilt kernels'}")
    counts = ", ".join(f"{count} for {name}" for name, count in there.items())
    used = next((name for name in levels if name in there), "")
    print(f"prebuilt: {counts or 'none in this installation'}{f'; used here: {used}' if used else ''}")
    print(f"built here: {len(list(cache.folder().glob('*.so')))} in {cache.folder()}")
    try:
        print(f"compiler: {' '.join(toolchain.find_compiler().command)}")
    except KernelError as error:
        print(f"compiler: none ({error})")
    if model is not None:
        print(_of_model(model))


def _of_model(path: str) -> str:
    from equipot.artifacts import load_model
    from equipot.model import apply_modifier
    from equipot_kernels._build import cache

    apply_modifier(load_model(path), "enable_FusedKernels")
    found = ", ".join(f"{count} {origin}" for origin, count in sorted(cache.origins().items()))
    return f"{path}: {found or 'no kernels, the model runs in plain PyTorch'}"
