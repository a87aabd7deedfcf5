"""Fit a linear ACE: ``PYTHON ace_fit.py OPTIONS.json BASIS.json``, in the environment of ace-jax.

Its command builds a basis only for elements whose bond lengths it has in a table, hydrogen not among them; its function
takes one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    """Build the basis, then do what the command ``aj fit`` does with the options."""
    from ace_jax.basis.export import save_npz
    from ace_jax.basis.model import build_model
    from ace_jax.cli import main as aj
    from ase.data import atomic_numbers

    options, basis = (json.loads(Path(path).read_text(encoding="utf-8")) for path in sys.argv[1:3])
    elements = [atomic_numbers[symbol] for symbol in basis.pop("elements")]
    save_npz("basis.npz", build_model(elements, **basis))
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    sys.argv = ["aj", "fit", "--model", "basis.npz", *words]
    aj()


if __name__ == "__main__":
    main()
