from ._committee import Committee as Committee
from ._committee import CommitteeCalculator as CommitteeCalculator
from ._fit import add_uncertainty as add_uncertainty
from ._head import LastLayerUncertainty as LastLayerUncertainty
from ._select import farthest_points as farthest_points
from ._stop import StopWhenUncertain as StopWhenUncertain
from ._stop import UncertainError as UncertainError
