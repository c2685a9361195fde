"""Small labelled data for the tests of existing data: metals by ASE's effective-medium theory."""

from __future__ import annotations

from pathlib import Path

import dpdata
import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.md.verlet import VelocityVerlet

SEED = 7


def trajectory(frames: int = 24, symbol: str = "Cu") -> list[Atoms]:
    """A trajectory of 32 atoms at about 400 K (velocities of 800 K from a perfect crystal), 4 fs apart."""
    atoms = bulk(symbol, cubic=True) * (2, 2, 2)
    atoms.calc = EMT()
    random = np.random.default_rng(SEED)
    widths = np.sqrt(units.kB * 800 / atoms.get_masses())[:, None]
    atoms.set_velocities(random.normal(size=(len(atoms), 3)) * widths)
    visited = [labelled(atoms)]
    dynamics = VelocityVerlet(atoms, timestep=4 * units.fs)
    for _ in range(frames - 1):
        dynamics.run(1)
        visited.append(labelled(atoms))
    return visited


def labelled(atoms: Atoms) -> Atoms:
    """A copy that carries its energy, forces and stress."""
    copy = atoms.copy()
    copy.calc = SinglePointCalculator(
        copy, energy=atoms.get_potential_energy(), forces=atoms.get_forces(), stress=atoms.get_stress()
    )
    return copy


def changed(atoms: Atoms, **results: object) -> Atoms:
    """A copy with other labels; None takes one away."""
    copy = atoms.copy()
    kept = {name: value for name, value in {**atoms.calc.results, **results}.items() if value is not None}
    copy.calc = SinglePointCalculator(copy, **kept)
    return copy


def system(frames: list[Atoms]) -> dpdata.LabeledSystem:
    """Frames of one composition as dpdata has them."""
    symbols = frames[0].get_chemical_symbols()
    names = list(dict.fromkeys(symbols))
    return dpdata.LabeledSystem(
        data={
            "atom_names": names,
            "atom_numbs": [symbols.count(name) for name in names],
            "atom_types": np.array([names.index(name) for name in symbols]),
            "orig": np.zeros(3),
            "cells": np.array([each.cell[:] for each in frames]),
            "coords": np.array([each.positions for each in frames]),
            "energies": np.array([each.get_potential_energy() for each in frames]),
            "forces": np.array([each.get_forces() for each in frames]),
            "virials": np.array([-each.get_stress(voigt=False) * each.get_volume() for each in frames]),
        }
    )


def write_npy(frames: list[Atoms], path: Path, *, energy: float = 1.0, length: float = 1.0) -> None:
    """A DeePMD-kit system in other units, of which one is `energy` eV, or `length` angstrom, large."""
    data = system(frames)
    for name, factor in (
        ("coords", length),
        ("cells", length),
        ("energies", energy),
        ("forces", energy / length),
        ("virials", energy),
    ):
        data.data[name] = data.data[name] / factor
    data.to_deepmd_npy(str(path), set_size=10, prec=np.float64)


PW_OUTPUT = """\
     Program PWSCF v.7.2 starts on  1Jan2026 at 12: 0: 0

     bravais-lattice index     =            0
     lattice parameter (alat)  =       6.6330  a.u.
     unit-cell volume          =     291.8300 (a.u.)^3
     number of atoms/cell      =            2
     number of atomic types    =            1

     celldm(1)=   6.633000  celldm(2)=   0.000000  celldm(3)=   0.000000
     celldm(4)=   0.000000  celldm(5)=   0.000000  celldm(6)=   0.000000

     crystal axes: (cart. coord. in units of alat)
               a(1) = (   1.000000   0.000000   0.000000 )
               a(2) = (   0.000000   1.000000   0.000000 )
               a(3) = (   0.000000   0.000000   1.000000 )

     atomic species   valence    mass     pseudopotential
        Li             3.00     6.94100     Li( 1.00)

   Cartesian axes

     site n.     atom                  positions (alat units)
         1           Li  tau(   1) = (   0.0000000   0.0000000   0.0000000  )
         2           Li  tau(   2) = (   0.5100000   0.5000000   0.5000000  )

     number of k points=     1
                       cart. coord. in units 2pi/alat
        k(    1) = (   0.0000000   0.0000000   0.0000000), wk =   2.0000000

     End of self-consistent calculation

          k = 0.0000 0.0000 0.0000 (   137 PWs)   bands (ev):

   -45.0000   3.0000

     the Fermi energy is     4.0000 ev

!    total energy              =     -29.60000000 Ry

     convergence has been achieved in   6 iterations

     Forces acting on atoms (cartesian axes, Ry/au):

     atom    1 type  1   force =     0.01000000    0.00000000    0.00000000
     atom    2 type  1   force =    -0.01000000    0.00000000    0.00000000

     Total force =     0.014142     Total SCF correction =     0.000001

     Computing stress (Cartesian axis) and pressure

          total   stress  (Ry/bohr**3)                   (kbar)     P=        1.00
   0.00001000   0.00000000   0.00000000            1.47        0.00        0.00
   0.00000000   0.00001000   0.00000000            0.00        1.47        0.00
   0.00000000   0.00000000   0.00001000            0.00        0.00        1.47


     JOB DONE.
"""
"""A static run of lithium in the form of Quantum ESPRESSO's pw.x; the numbers are made up."""

CP2K_OUTPUT = """\
 CP2K| version string:                                       CP2K version 2023.1
 CP2K| Program compiled for                                              a test
 DBCSR| Multiplication driver                                               BLAS
 GLOBAL| Run type                                                   ENERGY_FORCE

 CELL| Volume [angstrom^3]:                                             42.8755
 CELL| Vector a [angstrom]:       3.500     0.000     0.000   |a| =     3.500000
 CELL| Vector b [angstrom]:       0.000     3.500     0.000   |b| =     3.500000
 CELL| Vector c [angstrom]:       0.000     0.000     3.500   |c| =     3.500000

  1. Atomic kind: Li                                    Number of atoms:       2

 MODULE QUICKSTEP: ATOMIC COORDINATES IN ANGSTROM

   Atom Kind Element         X             Y             Z       Z(eff)     Mass
      1    1 Li   3     0.000000      0.000000      0.000000     3.0000   6.9410
      2    1 Li   3     1.785000      1.750000      1.750000     3.0000   6.9410

  *** SCF run converged in    12 steps ***

 ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:              -14.800000000000000

 ATOMIC FORCES in [a.u.]

 # Atom   Kind   Element          X              Y              Z
      1      1      Li          0.00500000     0.00000000     0.00000000
      2      1      Li         -0.00500000     0.00000000     0.00000000
 SUM OF ATOMIC FORCES           0.00000000     0.00000000     0.00000000    0.0

"""
"""A static run of lithium in the form of CP2K's output; the numbers are made up."""
