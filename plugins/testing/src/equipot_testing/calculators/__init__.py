"""Checks of the laws of physics for any ASE calculator or torch-sim model.

Nothing here imports torch or the rest of equipot, so it also runs in the environment of another program
that has only numpy and ASE.
"""
