"""What this package declares: nothing.

Being listed as a plugin is enough for configs to name what is in the package.
"""
