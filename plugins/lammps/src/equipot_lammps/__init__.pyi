from ._attach import Attached as Attached
from ._attach import attach as attach
from ._errors import LammpsError as LammpsError
from ._programs import new_lammps as new_lammps
from ._target import LammpsTarget as LammpsTarget
