"""What the tests of this repository share: data, folders, commands, comparisons, fixtures.

pytest finds it through ``pythonpath`` in the root ``pyproject.toml``; nothing of it is installed. What helps
authors of plugins too is in ``equipot_testing`` instead.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
"""Root of the repository."""
