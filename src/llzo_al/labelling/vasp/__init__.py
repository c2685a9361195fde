"""VASP: its inputs, its runs through custodian, and its outputs."""
