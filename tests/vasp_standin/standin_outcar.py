"""OUTCAR, OSZICAR, XDATCAR and CONTCAR in VASP's form."""

from __future__ import annotations

import numpy as np
from ase import units
from standin_engine import Run, Step
from standin_inputs import Inputs, bands

VERSION = "6.4.2 stand-in for tests, not VASP"
RULE = "-" * 104
KB_PER_EV_PER_A3 = 1.0 / (0.1 * units.GPa)


def settings(inputs: Inputs, run: Run, encut_eV: float) -> dict[str, object]:
    """What the run uses, defaults included, in the form in which VASP prints it."""
    return {
        "PREC": str(inputs.tag("PREC", "Normal")).lower()[:6],
        "ISTART": int(inputs.tag("ISTART", 0)),
        "ICHARG": int(inputs.tag("ICHARG", 2)),
        "ISPIN": int(inputs.tag("ISPIN", 1)),
        "ENCUT": encut_eV,
        "NELM": int(inputs.tag("NELM", 60)),
        "NELMIN": int(inputs.tag("NELMIN", 2)),
        "EDIFF": float(inputs.tag("EDIFF", 1e-4)),
        "LREAL": inputs.tag("LREAL", False),
        "EDIFFG": float(inputs.tag("EDIFFG", 10 * float(inputs.tag("EDIFF", 1e-4)))),
        "NSW": run.nsw,
        "IBRION": run.ibrion,
        "ISIF": run.isif,
        "ISYM": int(inputs.tag("ISYM", 2)),
        "POTIM": float(inputs.tag("POTIM", 0.5)),
        "TEBEG": float(inputs.tag("TEBEG", 0.0)),
        "TEEND": float(inputs.tag("TEEND", inputs.tag("TEBEG", 0.0))),
        "SMASS": float(inputs.tag("SMASS", -3.0)),
        "ISMEAR": int(inputs.tag("ISMEAR", 1)),
        "SIGMA": float(inputs.tag("SIGMA", 0.2)),
        "LASPH": bool(inputs.tag("LASPH", False)),
        "GGA": str(inputs.tag("GGA", "--")),
        "MDALGO": int(inputs.tag("MDALGO", 0)),
        "NELECT": inputs.nelect,
        "NBANDS": bands(inputs.nelect, sum(inputs.counts), inputs.incar),
        "KSPACING": float(inputs.tag("KSPACING", 0.5)),
    }


def logical(value: object) -> str:
    """T or F, or the word itself."""
    return {True: "T", False: "F"}.get(value, str(value))  # type: ignore[call-overload]


def lattice_rows(cell_A: np.ndarray) -> str:
    """Direct and reciprocal vectors beside one another."""
    reciprocal = np.linalg.inv(cell_A).T
    return "".join(
        "    " + "".join(f"{x:13.9f}" for x in direct) + "    " + "".join(f"{x:13.9f}" for x in other) + "\n"
        for direct, other in zip(cell_A, reciprocal, strict=True)
    )


def cell_block(cell_A: np.ndarray, encut_eV: float) -> str:
    """Volume and lattice, as at the start and after each ionic step."""
    lengths = np.linalg.norm(cell_A, axis=1)
    others = np.linalg.norm(np.linalg.inv(cell_A).T, axis=1)
    return (
        f"  energy-cutoff  : {encut_eV:11.2f}\n  volume of cell :{abs(np.linalg.det(cell_A)):12.2f}\n"
        "      direct lattice vectors                 reciprocal lattice vectors\n"
        + lattice_rows(cell_A)
        + "\n  length of vectors\n    "
        + "".join(f"{x:13.9f}" for x in lengths)
        + "    "
        + "".join(f"{x:13.9f}" for x in others)
        + "\n\n\n"
    )


def mesh_points(inputs: Inputs) -> list[list[float]]:
    """All points of the mesh, in units of the reciprocal vectors."""
    shift = [0.0 if inputs.gamma_centred else 0.5 * (1 - m % 2) for m in inputs.mesh]
    return [
        [(i + s) / m for i, s, m in zip(index, shift, inputs.mesh, strict=True)]
        for index in np.ndindex(*inputs.mesh)
    ]


def header(inputs: Inputs, run: Run, encut_eV: float) -> str:
    """OUTCAR up to the first electronic step."""
    use = settings(inputs, run, encut_eV)
    titles = [p.title for p in inputs.potcars]
    fractional = inputs.positions_A @ np.linalg.inv(inputs.cell_A)
    mesh = inputs.mesh
    scheme = "Gamma" if inputs.gamma_centred else "Monkhorst-Pack"
    cartesian = np.array(mesh_points(inputs)) @ np.linalg.inv(inputs.cell_A).T
    names = " ".join(f"{s}{n}" for s, n in zip(inputs.symbols, inputs.counts, strict=True))
    text = [
        f" vasp.{VERSION}\n",
        " executed on             LinuxGNU date 2026.01.01  00:00:00\n running on    1 total cores\n\n",
        RULE + "\n\n INCAR:\n",
        *(f"   {name} = {_incar_text(value)}\n" for name, value in inputs.incar.items()),
        *(f" POTCAR:    {title:38s}\n" for title in titles),
        *(_potcar_block(title) for title in titles),
        f" POSCAR: {inputs.title[:40]}\n  positions in direct lattice\n",
        *(warning + "\n" for warning in inputs.warnings),
        f"\n KPOINTS: {scheme} {mesh[0]}x{mesh[1]}x{mesh[2]}\n\n",
        "Automatic generation of k-mesh.\n",
        f" Found {np.prod(mesh):6d} irreducible k-points:\n\n",
        " Following reciprocal coordinates:\n            Coordinates               Weight\n",
        *("".join(f"{x:10.6f}" for x in point) + "      1.000000\n" for point in mesh_points(inputs)),
        " \n Following cartesian coordinates:\n            Coordinates               Weight\n",
        *("".join(f"{x:10.6f}" for x in point) + "      1.000000\n" for point in cartesian),
        " \n",
        RULE + "\n\n\n Dimension of arrays:\n",
        f"   k-points           NKPTS = {np.prod(mesh):6d}   k-points in BZ     NKDIM = {np.prod(mesh):6d}"
        f"   number of bands    NBANDS= {use['NBANDS']:6d}\n",
        f"   number of dos      NEDOS =    301   number of ions     NIONS = {len(inputs.atoms):6d}\n",
        "   total plane-waves  NPLWV =  74088\n",
        "   dimension x,y,z NGX =    42 NGY =   42 NGZ =   42\n",
        "   ions per type =           " + "".join(f"{n:4d}" for n in inputs.counts) + "\n\n",
        f" SYSTEM =  {inputs.tag('SYSTEM', 'unknown system')!s:40.40s}\n POSCAR =  {names:40.40s}\n\n",
        _settings_text(use),
        _species_text(inputs, use),
        RULE + "\n\n\n" + cell_block(inputs.cell_A, encut_eV),
        " k-points in reciprocal lattice and weights: automatic mesh\n",
        *(
            "".join(f"{x:13.8f}" for x in point) + f"{1 / np.prod(mesh):12.3f}\n"
            for point in mesh_points(inputs)
        ),
        " \n position of ions in fractional coordinates (direct lattice) \n",
        *("".join(f"{x:13.8f}" for x in row) + "\n" for row in fractional),
        " \n position of ions in cartesian coordinates  (Angst):\n",
        *("".join(f"{x:13.8f}" for x in row) + "\n" for row in inputs.positions_A),
        "\n\n" + RULE + "\n\n\n",
        *(
            f" k-point {index:4d} :   " + "".join(f"{x:7.4f}" for x in point) + "  plane waves:    4697\n"
            for index, point in enumerate(mesh_points(inputs), 1)
        ),
        "\n maximum and minimum number of plane-waves per node :      4697     4697\n\n" + RULE + "\n\n",
    ]
    return "".join(text)


def _potcar_block(title: str) -> str:
    element = title.split()[1].partition("_")[0]
    return (
        f" POTCAR:    {title:38s}\n   VRHFIN ={element}: none\n   TITEL  = {title}\n"
        "   LULTRA =        F    use ultrasoft PP ?\n"
    )


def _settings_text(use: dict[str, object]) -> str:
    return f""" Startparameter for this run:
   NWRITE =      2    write-flag & timer
   PREC   = {use["PREC"]}    normal or accurate (medium, high low for compatibility)
   ISTART = {use["ISTART"]:6d}    job   : 0-new  1-cont  2-samecut
   ICHARG = {use["ICHARG"]:6d}    charge: 1-file 2-atom 10-const
   ISPIN  = {use["ISPIN"]:6d}    spin polarized calculation?
   LNONCOLLINEAR =      F non collinear calculations
   LASPH  = {logical(use["LASPH"]):>6}    aspherical Exc in radial PAW
 Electronic Relaxation 1
   ENCUT  = {use["ENCUT"]:6.1f} eV  36.75 Ry    6.06 a.u.  10.38 10.38 10.38*2*pi/ulx,y,z
   ENINI  = {use["ENCUT"]:6.1f}     initial cutoff
   NELM   = {use["NELM"]:6d};   NELMIN={use["NELMIN"]:3d}; NELMDL= -5     # of ELM steps
   EDIFF  = {use["EDIFF"]:.1E}   stopping-criterion for ELM
   LREAL  = {logical(use["LREAL"]):>6}    real-space projection
 Ionic relaxation
   EDIFFG = {use["EDIFFG"]:.1E}   stopping-criterion for IOM
   NSW    = {use["NSW"]:6d}    number of steps for IOM
   IBRION = {use["IBRION"]:6d}    ionic relax: 0-MD 1-quasi-New 2-CG
   ISIF   = {use["ISIF"]:6d}    stress and relaxation
   ISYM   = {use["ISYM"]:6d}    0-nonsym 1-usesym 2-fastsym
   POTIM  = {use["POTIM"]:6.4f}    time-step for ionic-motion
   TEBEG  = {use["TEBEG"]:6.1f};   TEEND  ={use["TEEND"]:6.1f} temperature during run
   SMASS  = {use["SMASS"]:6.2f}    Nose mass-parameter (am)
"""


def _species_text(inputs: Inputs, use: dict[str, object]) -> str:
    return (
        "  Mass of Ions in am\n   POMASS = "
        + "".join(f"{p.mass_u:7.2f}" for p in inputs.potcars)
        + "\n  Ionic Valenz\n   ZVAL   = "
        + "".join(f"{p.zval:7.2f}" for p in inputs.potcars)
        + f"\n   NELECT = {use['NELECT']:12.4f}    total number of electrons\n"
        "   NUPDOWN=      -1.0000    fix difference up-down\n\n DOS related values:\n"
        f"   ISMEAR = {use['ISMEAR']:6d};   SIGMA  = {use['SIGMA']:6.2f}"
        "  broadening in eV -4-tet -1-fermi 0-gaus\n"
        "\n Electronic relaxation 2 (details)\n   IALGO  =     38    algorithm\n\n"
        f" Exchange correlation treatment:\n   GGA     = {use['GGA']:>5}    GGA type\n\n"
    )


def _incar_text(value: object) -> str:
    if isinstance(value, list):
        return " ".join(f"{x:g}" for x in value)
    return (
        f".{logical(value).replace('T', 'TRUE').replace('F', 'FALSE')}."
        if isinstance(value, bool)
        else str(value)
    )


def number(value: float, width: int, decimals: int, spoilt: str) -> str:
    """A number in a Fortran field, or what `spoilt` makes of it."""
    if spoilt == "nan":
        return "NaN".rjust(width)
    text = f"{value:{width}.{decimals}f}"
    return "*" * width if spoilt == "asterisks" or len(text) > width else text


def electronic(step_number: int, step: Step, *, upto: int | None = None) -> str:
    """The electronic steps of an ionic step."""
    text = []
    for count, energy in enumerate(step.energies_eV[:upto], 1):
        rule = "-" * 39
        text.append(
            f"{rule} Iteration {step_number:6d}({count:4d})  {rule}\n\n\n"
            "    POTLOK:  cpu time    0.0010: real time    0.0010\n"
            "      LOOP:  cpu time    0.0010: real time    0.0010\n\n"
            " Free energy of the ion-electron system (eV)\n  " + "-" * 51 + "\n"
            f"  entropy T*S    EENTRO = {-step.entropy_eV:17.8f}\n"
            f"  free energy    TOTEN  = {energy:18.8f} eV\n\n"
            f"  energy without entropy ={energy + step.entropy_eV:19.8f}"
            f"  energy(sigma->0) ={energy + step.entropy_eV / 2:19.8f}\n\n\n" + RULE + "\n\n\n"
        )
    if upto is None:
        text.append(
            "------------------------ aborting loop because EDIFF is reached "
            "----------------------------------------\n\n\n"
            if step.converged
            else "------------------------ aborting loop EDIFF was not reached (unconverged) "
            "----------------------------------------\n\n\n"
        )
    return "".join(text)


def ionic(run: Run, step: Step, encut_eV: float, spoilt: str) -> str:
    """Stress, cell, positions, forces and energies of an ionic step."""
    kilobar = -step.stress_eV_per_A3 * KB_PER_EV_PER_A3
    total = -step.stress_eV_per_A3 * abs(np.linalg.det(step.cell_A))
    axes = ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0))
    parts = ("Alpha Z", "Ewald", "Hartree", "E(xc)", "Local", "n-local", "augment", "Kinetic", "Fock")
    rows = [
        "".join(number(x, 13, 5, "") for x in where)
        + "    "
        + "".join(number(x, 14, 6, spoilt) for x in force)
        for where, force in zip(step.positions_A, step.forces_eV_per_A, strict=True)
    ]
    drift = step.forces_eV_per_A.sum(axis=0)
    free, entropy = step.free_energy_eV, step.entropy_eV
    energy = number(free, 19, 8, spoilt)
    return (
        "  FORCE on cell =-STRESS in cart. coord.  units (eV):\n"
        "  Direction    XX          YY          ZZ          XY          YZ          ZX\n  "
        + "-" * 86
        + "\n"
        + "".join(f"  {part:8s}" + "     0.00000" * 6 + "\n" for part in parts)
        + "  "
        + "-" * 85
        + "\n  Total   "
        + "".join(number(total[a], 12, 5, spoilt) for a in axes)
        + "\n  in kB   "
        + "".join(number(kilobar[a], 12, 5, spoilt) for a in axes)
        + f"\n  external pressure = {np.trace(kilobar) / 3:11.2f} kB  Pullay stress =        0.00 kB\n\n\n"
        " VOLUME and BASIS-vectors are now :\n "
        + "-" * 77
        + "\n"
        + cell_block(step.cell_A, encut_eV)
        + " POSITION                                       TOTAL-FORCE (eV/Angst)\n "
        + "-" * 83
        + "\n"
        + "\n".join(rows)
        + "\n "
        + "-" * 83
        + "\n    total drift:                       "
        + "".join(f"{x:14.6f}" for x in drift)
        + "\n\n\n"
        + RULE
        + "\n\n\n\n  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)\n  "
        + "-" * 51
        + f"\n  free  energy   TOTEN  ={energy} eV\n\n"
        f"  energy  without entropy={free + entropy:19.8f}  energy(sigma->0) ={free + entropy / 2:19.8f}"
        "\n\n\n\n" + (_thermostat(step) if run.ibrion == 0 else "") + RULE + "\n\n"
        "     LOOP+:  cpu time    0.0100: real time    0.0100\n\n"
    )


def _thermostat(step: Step) -> str:
    return (
        "  ENERGY OF THE ELECTRON-ION-THERMOSTAT SYSTEM (eV)\n  "
        + "-" * 51
        + f"\n% ion-electron   TOTEN  ={step.free_energy_eV:17.6f}  see above\n"
        f"  kinetic energy EKIN   ={step.kinetic_eV:17.6f}\n"
        f"  kin. lattice  EKIN_LAT={0.0:17.6f}  (temperature {step.temperature_K:7.2f} K)\n"
        f"  total energy   ETOTAL ={step.free_energy_eV + step.kinetic_eV:17.6f} eV\n\n"
    )


def footer(relaxed: bool, wall_s: float) -> str:
    """The end of an OUTCAR: accuracy and timing."""
    reached = " reached required accuracy - stopping structural energy minimisation\n\n" if relaxed else ""
    return (
        reached + "\n\n General timing and accounting informations for this job:\n " + "=" * 56 + "\n\n"
        f"                  Total CPU time used (sec): {wall_s:12.3f}\n"
        f"                            User time (sec): {wall_s:12.3f}\n"
        "                          System time (sec):        0.010\n"
        f"                         Elapsed time (sec): {wall_s:12.3f}\n\n"
        "                   Maximum memory used (kb):      109548.\n"
        "                   Average memory used (kb):           0.\n\n"
        "                          Minor page faults:         1000\n"
        "                          Major page faults:            0\n"
        "                 Voluntary context switches:           10\n"
    )


OSZICAR_HEAD = "       N       E                     dE             d eps       ncg     rms          rms(c)\n"


def oszicar_step(
    run: Run, number_of_step: int, step: Step, previous_eV: float, *, upto: int | None = None
) -> str:
    """Lines of OSZICAR for an ionic step; what VASP prints on its standard output too."""
    text, last = [OSZICAR_HEAD], 0.0
    for count, energy in enumerate(step.energies_eV[:upto], 1):
        text.append(
            f"DAV: {count:3d} {energy:20.12E} {energy - last:14.5E} {energy - last:14.5E}  1000   0.100E-01\n"
        )
        last = energy
    if upto is not None:
        return "".join(text)
    free, sigma0 = step.free_energy_eV, step.free_energy_eV + step.entropy_eV / 2
    if run.ibrion == 0:
        text.append(
            f"{number_of_step:7d} T= {step.temperature_K:6.0f}. E= {free + step.kinetic_eV:.8E} F= {free:.8E}"
            f" E0= {sigma0:.8E}  EK= {step.kinetic_eV:.5E} SP= 0.00E+00 SK= 0.00E+00\n"
        )
    else:
        text.append(f"{number_of_step:4d} F= {free:.8E} E0= {sigma0:.8E}  d E ={free - previous_eV:.6E}\n")
    return "".join(text)


def _poscar_head(inputs: Inputs, cell_A: np.ndarray) -> str:
    return (
        f"{inputs.title}\n   1.00000000000000\n"
        + "".join("   " + "".join(f"{x:22.16f}" for x in row) + "\n" for row in cell_A)
        + "   "
        + "  ".join(f"{s:>4}" for s in inputs.symbols)
        + "\n"
        + "".join(f"{n:6d}" for n in inputs.counts)
        + "\n"
    )


def xdatcar_step(inputs: Inputs, number_of_step: int, step: Step, *, cell_moves: bool) -> str:
    """One configuration of XDATCAR, with the head where it is needed."""
    head = _poscar_head(inputs, step.cell_A) if number_of_step == 1 or cell_moves else ""
    rows = step.positions_A @ np.linalg.inv(step.cell_A)
    return (
        head
        + f"Direct configuration={number_of_step:6d}\n"
        + "".join("".join(f"{x:12.8f}" for x in row) + "\n" for row in rows)
    )


def contcar(inputs: Inputs, step: Step) -> str:
    """CONTCAR, with velocities after dynamics."""
    rows = step.positions_A @ np.linalg.inv(step.cell_A)
    text = _poscar_head(inputs, step.cell_A) + "Direct\n"
    text += "".join("".join(f"{x:20.16f}" for x in row) + "\n" for row in rows)
    velocities = step.velocities_A_per_fs
    moving = np.zeros_like(rows) if velocities is None else velocities
    return text + "\n" + "".join("".join(f"{x:16.8E}" for x in row) + "\n" for row in moving)
