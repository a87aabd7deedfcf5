from ._potential import ZBL as ZBL
from ._potential import zbl_energy as zbl_energy
