"""Labelling: energies, forces and virials from a reference."""
