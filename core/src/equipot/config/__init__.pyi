from ._aliases import translate_container as translate_container
from ._targets import TargetError as TargetError
from ._targets import resolve_target as resolve_target
