from ._aotinductor import compile_model as compile_model
from ._exchange import with_exchange as with_exchange
from ._export import export_model as export_model
from ._for_target import ForTarget as ForTarget
from ._for_target import for_target as for_target
from ._for_target import metadata_of as metadata_of
from ._target import AseTarget as AseTarget
from ._target import ExportTarget as ExportTarget
