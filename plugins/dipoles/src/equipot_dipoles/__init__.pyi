from ._head import Dipoles as Dipoles
from ._modifier import add_Dipoles as add_Dipoles
