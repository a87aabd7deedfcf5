from ._coulomb import smeared_potentials as smeared_potentials
from ._head import enable_LatentCharges as enable_LatentCharges
from ._term import LatentElectrostatics as LatentElectrostatics
