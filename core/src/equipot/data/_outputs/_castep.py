"""CASTEP: what the main output of a trajectory says of its self-consistent cycles.

Trajectories (``.md``, ``.geom``) do not tell which cycles converged, and the main output (``.castep``) not for which of
their steps, so that it is only said.
"""

from __future__ import annotations

import logging
from pathlib import Path

from equipot.data._streams import compression, opened
from equipot.errors import ArtifactError, DataError

logger = logging.getLogger(__name__)

_FAILED = (b"system has not reached the groundstate", b"electronic minimisation did not converge")


def say_unconverged(file: Path) -> None:
    """Warn if the main output of a trajectory says that cycles did not converge.

    Args:
        file: The trajectory; the main output has the same name with the suffix ``.castep``.
    """
    output = (file.with_suffix("") if compression(file) else file).with_suffix(".castep")
    if not output.is_file():
        return
    try:
        with opened(output) as stream:
            count = sum(any(mark in line for mark in _FAILED) for line in stream)
    except (ArtifactError, DataError, OSError):  # it is not part of the data
        return
    if count:
        what = "self-consistent cycles did not converge, and not of which steps; leave these out yourself"
        logger.warning("%s: %s says that %d %s", file, output.name, count, what)
