"""vasprun.xml in VASP's form."""

from __future__ import annotations

from xml.sax.saxutils import escape

import numpy as np
from standin_engine import Run, Step
from standin_inputs import Inputs
from standin_outcar import KB_PER_EV_PER_A3, VERSION, mesh_points, number, settings

END = "</modeling>\n"


def head(inputs: Inputs, run: Run, encut_eV: float) -> str:
    """Everything before the first calculation."""
    version, _, rest = VERSION.partition(" ")
    given = dict(inputs.incar)
    if "ENCUT" in given:
        given["ENCUT"] = encut_eV
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n <generator>\n'
        '  <i name="program" type="string">vasp </i>\n'
        f'  <i name="version" type="string">{version}  </i>\n'
        f'  <i name="subversion" type="string">({rest}) </i>\n'
        '  <i name="platform" type="string">LinuxGNU </i>\n'
        '  <i name="date" type="string">2026 01 01 </i>\n  <i name="time" type="string">00:00:00 </i>\n'
        " </generator>\n <incar>\n"
        + "".join("  " + item(name, value) for name, value in given.items())
        + " </incar>\n"
        + _kpoints(inputs)
        + _parameters(settings(inputs, run, encut_eV), inputs)
        + _atominfo(inputs)
        + structure("initialpos", inputs.cell_A, inputs.positions_A)
    )


def item(name: str, value: object) -> str:
    """One setting."""
    if isinstance(value, bool):
        return f'<i type="logical" name="{name}"> {"T" if value else "F"}  </i>\n'
    if isinstance(value, int):
        return f'<i type="int" name="{name}">{value:6d}</i>\n'
    if isinstance(value, float):
        return f'<i name="{name}">{value:16.8f}</i>\n'
    if isinstance(value, list):
        return f'<v name="{name}">' + "".join(f"{x:16.8f}" for x in value) + "</v>\n"
    return f'<i type="string" name="{name}">{escape(str(value))}</i>\n'


def _kpoints(inputs: Inputs) -> str:
    n = int(np.prod(inputs.mesh))
    kind = "Gamma" if inputs.gamma_centred else "Monkhorst-Pack"
    return (
        f' <kpoints>\n  <generation param="{kind}">\n   <v type="int" name="divisions">'
        + "".join(f"{m:9d}" for m in inputs.mesh)
        + ' </v>\n   <v name="usershift">      0.00000000       0.00000000       0.00000000 </v>\n'
        "  </generation>\n"
        + varray("kpointlist", mesh_points(inputs), 2)
        + varray("weights", [[1.0 / n]] * n, 2)
        + " </kpoints>\n"
    )


def _parameters(use: dict[str, object], inputs: Inputs) -> str:
    def group(name: str, *names: str) -> str:
        lines = "".join("   " + item("ENMAX" if n == "ENCUT" else n, use[n]) for n in names)
        return f'  <separator name="{name}" >\n{lines}  </separator>\n'

    return (
        " <parameters>\n"
        + group("electronic", "PREC", "ENCUT", "EDIFF", "NBANDS", "NELECT", "ISMEAR", "SIGMA", "KSPACING",
                "LREAL", "ISTART", "ICHARG", "ISPIN", "NELM", "NELMIN", "LASPH")
        + group("ionic", "NSW", "IBRION", "MDALGO", "ISIF", "EDIFFG", "POTIM", "SMASS")
        + group("ionic md", "TEBEG", "TEEND") + group("symmetry", "ISYM")
        + group("electronic exchange-correlation", "GGA")
        + " </parameters>\n"
    )  # fmt: skip


def _atominfo(inputs: Inputs) -> str:
    kinds = list(enumerate(zip(inputs.symbols, inputs.counts, inputs.potcars, strict=True), 1))
    atoms = "".join(
        f"    <rc><c>{symbol:2s}</c><c>{kind:4d}</c></rc>\n" * count for kind, (symbol, count, _) in kinds
    )
    types = "".join(
        f"    <rc><c>{count:4d}</c><c>{symbol:2s}</c><c>{p.mass_u:16.8f}</c><c>{p.zval:16.8f}</c>"
        f"<c>  {p.title} </c></rc>\n"
        for _, (symbol, count, p) in kinds
    )
    return (
        f" <atominfo>\n  <atoms>{len(inputs.atoms):8d} </atoms>\n  <types>{len(kinds):8d} </types>\n"
        '  <array name="atoms" >\n   <dimension dim="1">ion</dimension>\n'
        '   <field type="string">element</field>\n'
        f'   <field type="int">atomtype</field>\n   <set>\n{atoms}   </set>\n  </array>\n'
        '  <array name="atomtypes" >\n   <dimension dim="1">type</dimension>\n'
        '   <field type="int">atomspertype</field>\n'
        '   <field type="string">element</field>\n   <field>mass</field>\n   <field>valence</field>\n'
        f'   <field type="string">pseudopotential</field>\n   <set>\n{types}   </set>\n'
        "  </array>\n </atominfo>\n"
    )


def varray(name: str, rows: object, indent: int, spoilt: str = "") -> str:
    """An array of vectors."""
    pad = " " * indent
    lines = "".join(
        f"{pad} <v>" + "".join(" " + number(x, 16, 8, spoilt) for x in row) + " </v>\n"
        for row in np.asarray(rows)
    )
    return f'{pad}<varray name="{name}" >\n{lines}{pad}</varray>\n'


def structure(name: str, cell_A: np.ndarray, positions_A: np.ndarray, indent: int = 1) -> str:
    """A structure with its cell; `name` may be empty."""
    pad = " " * indent
    named = f' name="{name}" ' if name else ""
    return (
        f"{pad}<structure{named}>\n{pad} <crystal>\n"
        + varray("basis", cell_A, indent + 2)
        + f'{pad}  <i name="volume">{abs(np.linalg.det(cell_A)):16.8f} </i>\n'
        + varray("rec_basis", np.linalg.inv(cell_A).T, indent + 2)
        + f"{pad} </crystal>\n"
        + varray("positions", positions_A @ np.linalg.inv(cell_A), indent + 1)
        + f"{pad}</structure>\n"
    )


def _energies(free_eV: float, entropy_eV: float, indent: int, spoilt: str = "") -> str:
    pad = " " * indent
    return (
        f'{pad}<energy>\n{pad} <i name="e_fr_energy">{number(free_eV, 16, 8, spoilt)} </i>\n'
        f'{pad} <i name="e_wo_entrp">{number(free_eV + entropy_eV, 16, 8, spoilt)} </i>\n'
        f'{pad} <i name="e_0_energy">{number(free_eV + entropy_eV / 2, 16, 8, spoilt)} </i>\n{pad}</energy>\n'
    )


def calculation(step: Step, spoilt: str) -> str:
    """One ionic step."""
    kilobar = -step.stress_eV_per_A3 * KB_PER_EV_PER_A3
    return (
        " <calculation>\n"
        + "".join(
            '  <scstep>\n   <time name="total">    0.01    0.01</time>\n'
            + _energies(energy, step.entropy_eV, 3)
            + "  </scstep>\n"
            for energy in step.energies_eV
        )
        + structure("", step.cell_A, step.positions_A, 2)
        + varray("forces", step.forces_eV_per_A, 2, spoilt)
        + varray("stress", kilobar, 2, spoilt)
        + _energies(step.free_energy_eV, step.entropy_eV, 2, spoilt)
        + '  <time name="totalsc">    0.01    0.01</time>\n </calculation>\n'
    )


def tail(step: Step) -> str:
    """The final structure and the end."""
    return structure("finalpos", step.cell_A, step.positions_A) + END
