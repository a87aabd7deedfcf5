"""Makes the broken toys importable, here and in processes that checks start."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
