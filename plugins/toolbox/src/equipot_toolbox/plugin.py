"""The entry point; it declares nothing, because configs name the classes of this package with ``_target_``."""
