"""Imports a private name of core and another plugin."""

import dataclasses

from equipot._version import __version__
from equipot_testing.toy import ToyModel


@dataclasses.dataclass(frozen=True, kw_only=True)
class Private(ToyModel):
    """A healthy model in a module that imports what is private."""

    version = __version__
