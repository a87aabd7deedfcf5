from ._ipi import IPIDriver as IPIDriver
from ._mliap import MLIAPModel as MLIAPModel
from ._openmm import OpenMMPotential as OpenMMPotential
from ._openmm_factory import OpenMMPotentialFactory as OpenMMPotentialFactory
from ._torch_sim import TorchSimModel as TorchSimModel
