from ._aotinductor import compile_model as compile_model
from ._export import export_model as export_model
