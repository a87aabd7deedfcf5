"""The frames that all files hold."""

import ase.db
import ase.io
import numpy as np

from equipot_test_support.water import random_labels


def frames(number=3):
    """Labelled water molecules in a cell."""
    return random_labels(number, cell=[5.0, 5.5, 6.0], stress=np.arange(6.0) / 100)


def write_frames(path, **options):
    """Let ASE write them, and give the path."""
    ase.io.write(path, frames(), **options)
    return path
