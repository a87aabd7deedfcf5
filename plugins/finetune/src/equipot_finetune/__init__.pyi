from ._freeze import freeze_Parts as freeze_Parts
from ._low_rank import LowRankAdam as LowRankAdam
from ._new_types import ModelWithNewTypes as ModelWithNewTypes
from ._replay import ReplayDataModule as ReplayDataModule
