"""Kernels for engines without Python: what is stored in compiled files, and the library that finds it there."""
