"""First-principles codes through ASE, with settings fit for labels."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from llzo_al.config.base import Count, NotNegative, Positive
from llzo_al.config.labelling.ase import CalculatorJobs

SpinPolarised = Literal["always", "isolated", "never"]


class FirstPrinciples(CalculatorJobs):
    """What all first-principles presets share."""

    xc: str = "PBE"
    """Exchange-correlation functional, by the code's own name."""
    cutoff_eV: Positive
    """Cutoff of the plane waves (eV)."""
    kspacing_per_A: Positive = 0.25
    """Largest distance between neighbouring k-points, 2 pi included (1/angstrom), as VASP's KSPACING; each
    frame gets the smallest Gamma-centred mesh that is fine enough for its own cell."""
    vacuum_gap_A: Positive = 8.0
    """Along a lattice vector with a gap this wide between atoms (angstrom) one k-point is enough: dimers and
    clusters in a box get Gamma only, slabs one point along their normal."""
    smearing_eV: NotNegative = 0.1
    """Width of the smearing of the occupations (eV)."""
    spin_polarised: SpinPolarised = "isolated"
    """`isolated`: frames that are surrounded by vacuum in all directions (dimers, clusters) and frames with a
    given multiplicity; `always`; or `never`."""
    magnetic_moments_muB: dict[str, float] = {}
    """Initial magnetic moment of each atom of an element where spins are polarised (Bohr magnetons); by
    default that of the free atom's ground state (`ase.data.ground_state_magnetic_moments`)."""
    version: str | None = None
    """Version of the code, part of each label's identity. For GPAW the default is what is installed, and its
    PAW setups; a version given here stands for both. For the other codes it has to be given to tell labels of
    two versions apart; the contents of pseudopotential files count in any case."""


class GPAW(FirstPrinciples):
    """GPAW: PAW with plane waves or atomic orbitals, free, installed from PyPI.

    The energy is the free energy, which forces belong to. Forces are converged at 500 eV, the stress needs
    800 eV: against 1000 eV, the pressure of displaced Li2O is off by 14 GPa at 500 eV, 3.7 GPa at 600 eV,
    0.8 GPa at 700 eV and 0.1 GPa at 800 eV.
    """

    engine: Literal["gpaw"]
    """GPAW, in the Python environment of this program."""
    mode: Literal["pw", "lcao"] = "pw"
    """Plane waves (`pw`), or atomic orbitals (`lcao`: faster, rougher, and without stress)."""
    cutoff_eV: Positive = 800.0
    """Cutoff of the plane waves, or of the grid on which `lcao` works (eV). The default converges the stress;
    where no virials are trained, 500 is enough for forces and takes half the time."""
    basis: str = "dzp"
    """Basis set of `lcao`."""
    setups: dict[str, str] = {}
    """PAW setups other than the default of an element, by GPAW's names (`Zr: 4` for fewer electrons)."""
    energy_tolerance_eV_per_electron: Positive = 1e-5
    """Largest change of the energy over the last three iterations (eV per valence electron)."""
    density_tolerance: Positive = 1e-4
    """Largest change of the density (electrons per valence electron)."""
    eigenstate_tolerance_eV2: Positive = 1e-6
    """Largest residual of the wave functions (eV^2 per valence electron); GPAW's own default of 4e-8 takes
    twice the iterations and often cannot be reached by metals and dimers."""
    max_iterations: Count = 150
    """Iterations after which a frame counts as not converged; no part of a label's identity."""


class Espresso(FirstPrinciples):
    """Quantum ESPRESSO's `pw.x`, with pseudopotentials that you provide."""

    engine: Literal["espresso"]
    """Quantum ESPRESSO."""
    command: Annotated[str, Field(min_length=1)] = "pw.x"
    """Command that runs `pw.x`, with its parallel launcher (`mpirun -np 32 pw.x -nk 4`)."""
    pseudopotential_directory: Annotated[str, Field(min_length=1)]
    """Directory of the pseudopotentials, relative to where the program is started unless absolute."""
    pseudopotentials: Annotated[dict[str, str], Field(min_length=1)]
    """File of each element, such as `Li: Li.upf`; their contents are part of each label's identity."""
    cutoff_eV: Positive = 1090.0
    """Cutoff of the wave functions (eV); the default is 80 Ry."""
    density_cutoff_eV: Positive | None = None
    """Cutoff of the density (eV); by default four times that of the wave functions, as for norm-conserving
    pseudopotentials; ultrasoft ones and PAW need eight to twelve times."""
    smearing: Literal["fermi-dirac", "gaussian", "marzari-vanderbilt", "methfessel-paxton"] = "gaussian"
    """Kind of smearing."""
    energy_tolerance_eV: Positive = 1e-6
    """Convergence of the total energy (eV); `conv_thr` is this in rydberg."""
    input_data: dict[str, Any] = {}
    """Further namelist entries of `pw.x` that change the physics, such as `{system: {ecutfock: 320}}`."""


class CP2K(FirstPrinciples):
    """CP2K's Quickstep (GTH pseudopotentials, MOLOPT basis sets)."""

    engine: Literal["cp2k"]
    """CP2K."""
    command: Annotated[str, Field(min_length=1)] = "cp2k.psmp -s"
    """Command that runs CP2K's shell (`mpirun -np 16 cp2k.psmp -s`)."""
    cutoff_eV: Positive = 8163.0
    """Cutoff of the density's plane waves (eV); the default is 600 Ry."""
    basis_sets: dict[str, str] = {}
    """Basis set of each element; by default `DZVP-MOLOPT-SR-GTH`."""
    basis_set_files: Annotated[list[str], Field(min_length=1)] = ["BASIS_MOLOPT", "BASIS_MOLOPT_UCL"]
    """Files that hold the basis sets; the second one has lanthanum."""
    potentials: dict[str, str] = {}
    """Pseudopotential of each element; by default `GTH-` and the name of the functional."""
    potential_file: str = "GTH_POTENTIALS"
    """File that holds the pseudopotentials."""
    scf_tolerance: Positive = 1e-6
    """Convergence of the self-consistent cycle (EPS_SCF)."""
    max_iterations: Count = 100
    """Iterations after which a frame counts as not converged; no part of a label's identity."""


class ABINIT(FirstPrinciples):
    """ABINIT with pseudopotentials that you provide."""

    engine: Literal["abinit"]
    """ABINIT."""
    command: Annotated[str, Field(min_length=1)] = "abinit"
    """Command that runs ABINIT, with its parallel launcher."""
    pseudopotential_directory: Annotated[str, Field(min_length=1)]
    """Directory of the pseudopotentials, relative to where the program is started unless absolute."""
    pseudopotentials: Annotated[dict[str, str], Field(min_length=1)]
    """File of each element, such as `Li: Li.psp8`; their contents are part of each label's identity."""
    cutoff_eV: Positive = 1090.0
    """Cutoff of the wave functions (eV); the default is 40 Ha."""
    residual_tolerance_Ha2: Positive = 1e-10
    """Convergence of the self-consistent cycle by the residual of its potential (`tolvrs`); not by the
    forces, which vanish in a perfect crystal from the first iterations on."""
    parameters: dict[str, Any] = {}
    """Further input variables that change the physics, such as `{pawecutdg: 2200, pawxcdev: 2}`: energies
    (`pawecutdg`, `tsmear`) in eV, others in ABINIT's own units."""
    max_iterations: Count = 100
    """Iterations after which a frame counts as not converged (`nstep`); no part of a label's identity."""


class UniversalPotential(CalculatorJobs):
    """A pretrained universal potential that you have installed: not DFT, but quick.

    Its labels are what the model says, with the model's errors.
    """

    engine: Literal["universal_potential"]
    """A pretrained universal potential."""
    family: Literal["mace", "chgnet", "matgl", "sevennet", "orb", "mattersim"]
    """Whose: each needs its own package."""
    model: str | None = None
    """Name of the model, or path of its file; by default the family's own default model."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where it runs; no part of a label's identity."""
    version: str | None = None
    """Version of the package and model, part of each label's identity; by default what is found on this
    machine."""
