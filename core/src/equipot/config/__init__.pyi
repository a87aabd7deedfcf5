from ._aliases import translate_container as translate_container
from ._defaults import with_defaults as with_defaults
from ._defaults import without_defaults as without_defaults
from ._stored import stored_data as stored_data
from ._targets import TargetError as TargetError
from ._targets import resolve_target as resolve_target
