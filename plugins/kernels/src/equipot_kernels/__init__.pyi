from ._build.errors import KernelError as KernelError
from ._build.registry import kernel_source as kernel_source
from ._modifier import enable_FusedKernels as enable_FusedKernels
from ._radial_splines import enable_RadialSplines as enable_RadialSplines
from ._radial_splines import train_with_RadialSplines as train_with_RadialSplines
