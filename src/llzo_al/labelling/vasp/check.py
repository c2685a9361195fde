"""What a finished run is worth: complete, of the structure and the settings asked for, converged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from llzo_al.config.labelling.vasp_tags import canonical_tags, changes_physics
from llzo_al.dataset.frames import FloatArray, Frame, Label, LabelFailure
from llzo_al.labelling.base import checked_label
from llzo_al.labelling.vasp.compare import changed_files, same_value
from llzo_al.labelling.vasp.inputs import VaspInputs
from llzo_al.labelling.vasp.outputs import IonicStep, ParsedRun, read_vasp_run

POSITION_TOLERANCE_A = 1e-4
"""Largest difference of positions and cells between what was asked for and what VASP says it computed: far
above the digits of its files, far below any displacement that matters."""

_USED_AS = {"ENCUT": "ENMAX"}
_ALWAYS_USED = ("ENCUT", "ISPIN", "ISMEAR", "SIGMA", "EDIFF", "LREAL")
"""Tags that are looked up among the parameters that VASP says it used, not only in the INCAR that it read."""


def label_of(
    frame: Frame, inputs: VaspInputs, directory: Path, *, wall_s: float, virials: bool = True
) -> Label | LabelFailure:
    """The label that a static run in `directory` gives, or why there is none.

    Parameters
    ----------
    frame
        The frame.
    inputs
        What was asked for.
    directory
        Where VASP ran.
    wall_s
        Seconds that it ran.
    virials
        Whether to keep the virial; only frames that are periodic in three directions have one.
    """
    run = read_vasp_run(directory)
    if isinstance(run, LabelFailure):
        return run
    step = run.steps[-1]
    if not run.complete:
        return LabelFailure(
            cause="truncated output",
            reason=f"{run.source} breaks off, and there is no other output that goes on to its end",
        )
    refused = settings_failure(inputs, run, directory) or structure_failure(frame, inputs, step, run)
    if refused is not None:
        return refused
    if not step.converged:
        return not_converged(step, run)
    return step_label(frame, inputs, step, wall_s=wall_s, program=run.program, virials=virials)


def step_label(
    frame: Frame, inputs: VaspInputs, step: IonicStep, *, wall_s: float, program: str, virials: bool = True
) -> Label | LabelFailure:
    """The label that an ionic step gives to a frame of its structure."""
    keep_virial = virials and all(frame.periodic)
    return checked_label(
        frame,
        energy_eV=step.energy_eV,
        forces_eV_per_A=inputs.in_frame_order(step.forces_eV_per_A),
        virial_eV=step.virial_eV if keep_virial else None,
        wall_s=wall_s,
        program=program,
    )


def not_converged(step: IonicStep, run: ParsedRun) -> LabelFailure:
    """The failure of a self-consistent cycle that was not finished."""
    limit = run.parameters.get("NELM", run.incar.get("NELM", "?"))
    return LabelFailure(
        cause="not converged",
        reason=f"the self-consistent cycle was not converged after {step.electronic_steps} steps "
        f"(NELM = {limit}, EDIFF = {run.parameters.get('EDIFF', run.incar.get('EDIFF', '?'))})",
    )


def settings_failure(inputs: VaspInputs, run: ParsedRun, directory: Path) -> LabelFailure | None:
    """The failure of a run whose settings are not those asked for, None where they are.

    The INCAR that lies in `directory` at the end, the INCAR and parameters that VASP's output repeats, the
    k-point mesh and the POTCARs' titles are compared. Tags that do not change the physics may differ.
    """
    told = list(changed_settings(inputs, run, directory))
    if not told:
        return None
    return LabelFailure(
        cause="settings changed",
        reason="VASP ran with other settings than were asked for, which would mix levels of theory: "
        + "; ".join(told),
    )


def changed_settings(inputs: VaspInputs, run: ParsedRun, directory: Path) -> Iterator[str]:
    """What differs between the settings asked for and those of the run, a sentence each."""
    yield from changed_files(inputs.incar, inputs.incar_text, inputs.kpoints, directory)
    asked = canonical_tags(inputs.incar)
    found = canonical_tags(run.incar)
    for tag in sorted({*asked, *found}):
        if not changes_physics(tag) or tag == "MAGMOM":
            continue
        if tag in asked and tag in found and not same_value(asked[tag], found[tag]):
            yield f"{tag} is {found[tag]}, asked for {asked[tag]}"
        elif tag in found and tag not in asked:
            yield f"{tag} is {found[tag]}, not asked for"
    for tag in _ALWAYS_USED:
        used = run.parameters.get(_USED_AS.get(tag, tag), run.parameters.get(tag))
        agrees = tag not in asked or used is None or same_value(asked[tag], used)
        if not agrees and (tag not in found or same_value(asked[tag], found[tag])):
            yield f"VASP used {tag} = {used}, asked for {asked[tag]}"
    if run.kpoints is not None and run.kpoints != inputs.mesh:
        yield f"the k-point mesh is {_times(run.kpoints)}, asked for {_times(inputs.mesh)}"
    if run.gamma_centred is False:
        yield "the k-point mesh does not hold the Gamma point"
    if run.potcar_titles and not _same_titles(run.potcar_titles, inputs.titles):
        yield f"the POTCARs are {', '.join(run.potcar_titles)}; asked for {', '.join(inputs.titles)}"


def structure_failure(
    frame: Frame, inputs: VaspInputs, step: IonicStep, run: ParsedRun
) -> LabelFailure | None:
    """The failure of a run that computed another structure, None where it is the frame's."""
    expected = [frame.symbols[index] for index in inputs.order]
    if list(run.symbols) != expected:
        return LabelFailure(
            cause="wrong shape",
            reason=f"VASP computed {len(run.symbols)} atoms ({_formula(run.symbols)}), asked for "
            f"{len(expected)} ({_formula(expected)})",
        )
    cell_A = frame.cell_A if inputs.right_handed else -frame.cell_A
    off_A = float(np.abs(step.cell_A - cell_A).max())
    if off_A <= POSITION_TOLERANCE_A:
        off_A = distance_A(step.positions_A, frame.positions_A[list(inputs.order)], cell_A)
    if off_A > POSITION_TOLERANCE_A:
        return LabelFailure(
            cause="wrong shape", reason=f"VASP computed another structure: it differs by {off_A:.2g} angstrom"
        )
    return None


def distance_A(first_A: FloatArray, second_A: FloatArray, cell_A: FloatArray) -> float:
    """Largest distance between atoms of two sets of positions (n_atoms, 3), by their nearest images."""
    return float(np.linalg.norm(shortest_A(first_A - second_A, cell_A), axis=1).max(initial=0.0))


def shortest_A(displacements_A: FloatArray, cell_A: FloatArray) -> FloatArray:
    """Displacements, shape (n, 3), without whole lattice vectors; right where they are short."""
    fractional = displacements_A @ np.linalg.inv(cell_A)
    return np.asarray((fractional - np.rint(fractional)) @ cell_A, dtype=np.float64)


def _same_titles(found: tuple[str, ...], asked: tuple[str, ...]) -> bool:
    return len(found) == len(asked) and all(map(same_value, asked, found))


def _times(mesh: tuple[int, int, int]) -> str:
    return "x".join(map(str, mesh))


def _formula(symbols: list[str] | tuple[str, ...]) -> str:
    counts: dict[str, int] = {}
    for symbol in symbols:
        counts[symbol] = counts.get(symbol, 0) + 1
    return " ".join(f"{symbol}{count}" for symbol, count in counts.items()) or "none"
