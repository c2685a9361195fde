"""Active learning of machine-learned potentials for Li7La3Zr2O12 and its Li-La-Zr-O relatives."""

from importlib.metadata import version

__version__ = version("llzo-al")
