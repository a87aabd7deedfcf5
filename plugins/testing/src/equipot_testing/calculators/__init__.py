"""The laws of physics for any ASE calculator or torch-sim model, whoever wrote it.

Nothing here imports torch or the rest of equipot: it runs in another program's environment too,
with numpy and ASE alone.
"""
