"""Molecular dynamics, relaxation, phonons and elasticity as commands of equipot.

The commands are thin: ASE moves the atoms, phonopy and matcalc do the analysis, and every result is one folder.
"""
