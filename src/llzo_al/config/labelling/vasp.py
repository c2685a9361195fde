"""VASP."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from llzo_al.config.base import Count, Finding, NotNegative, Positive, Repeats, Rule, Section
from llzo_al.config.labelling.vasp_tags import (
    SET_ELSEWHERE,
    canonical_tags,
    changes_physics,
    known_tags,
    value_fault,
)

PRESETS: Mapping[str, float] = {"kspacing-0.25": 0.25, "kspacing-0.20": 0.20}
"""Spacing of the k-points (1/angstrom, 2 pi included) of each preset."""


VASP_WORKING_KEYS = (
    "command",
    "gamma_command",
    "check_command",
    "retry_incar",
    "max_corrections",
    "frozen_s",
    "walltime_s",
    "keep_outputs",
    "keep_outputs_max_MB",
    "min_free_MB",
)
"""Keys of this section that change no label."""


def tag_findings(tags: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Tags of an `incar` mapping that cannot be meant, and why."""
    for tag, value in tags.items():
        upper = tag.upper()
        if upper in SET_ELSEWHERE:
            yield tag, f"is not given here: it follows from {SET_ELSEWHERE[upper]}"
            continue
        if upper not in known_tags() and not _unlisted(upper):
            close = get_close_matches(upper, known_tags(), n=1, cutoff=0.7)
            if close:
                yield tag, f"is no INCAR tag; did you mean {close[0]}? (VASP itself passes over unknown tags)"
            continue
        fault = value_fault(upper, value)
        if fault:
            yield tag, fault


def _unlisted(tag: str) -> bool:
    """Whether a tag is one that pymatgen's list lacks though it is known here."""
    return not changes_physics(tag)


def _incar(incar: Mapping[str, Any]) -> Iterable[Finding]:
    for tag, message in tag_findings(incar):
        yield ("incar", tag), message
    seen: dict[str, str] = {}
    for tag in incar:
        name = next(iter(canonical_tags({tag: 0})))
        if name in seen:
            yield ("incar", tag), f"stands beside {seen[name]}, which is the same tag; keep one"
        seen[name] = tag


def _retries(retry_incar: list[dict[str, Any]]) -> Iterable[Finding]:
    for number, tags in enumerate(retry_incar):
        for tag, message in tag_findings(tags):
            yield ("retry_incar", number, tag), message
        for tag in tags:
            if changes_physics(tag) and tag.upper() in known_tags():
                yield (
                    ("retry_incar", number, tag),
                    "changes the physics, and a later attempt has to have the same; leave it out here (ALGO, "
                    "NELM, AMIX, BMIX, NBANDS and the like are allowed)",
                )


def _one_mesh(kpoints_mesh: list[int] | None, kspacing_per_A: float | None) -> Iterable[Finding]:
    if kpoints_mesh is not None and kspacing_per_A is not None:
        yield ("kpoints_mesh",), "cannot stand beside kspacing_per_A; keep one"


class VASP(Section):
    """VASP through custodian, with a pymatgen input set of the papers' settings.

    PBE, 500 eV, spin-polarised, Gaussian smearing of 0.1 eV, EDIFF 1e-4 eV, a Gamma-centred mesh. The energy
    of a label is VASP's free energy (`free  energy   TOTEN`), whose derivatives its forces and stress are.
    """

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(("incar",), _incar),
        Rule(("retry_incar",), _retries),
        Rule(("kpoints_mesh", "kspacing_per_A"), _one_mesh),
    )

    engine: Literal["vasp"]
    """VASP. It needs the executable, and its POTCARs where `PMG_VASP_PSP_DIR` says."""
    preset: Literal["kspacing-0.25", "kspacing-0.20"] = "kspacing-0.25"
    """Settings of the papers: the same but for the spacing of the k-points (1/angstrom, 2 pi included)."""
    command: Annotated[str, Field(min_length=1)] = ">>vasp_cmd<<"
    """Command that runs VASP, with its parallel launcher (`srun -n 32 vasp_std`); variables of the
    environment are put in. `>>vasp_cmd<<` takes the machine's own: the environment variable
    `LLZO_AL_VASP_CMD`, or `vasp_cmd` under `env` of the worker file of `llzo-al worker --fworker`."""
    gamma_command: Annotated[str, Field(min_length=1)] | None = None
    """Command for frames with the Gamma point only, whose `vasp_gam` takes half the time; `>>vasp_gam_cmd<<`
    takes the worker's own (`LLZO_AL_VASP_GAM_CMD`). By default `command`."""
    check_command: bool = True
    """Look for the executable before the first job. Switch it off where `llzo-al run` is started on a machine
    that does not run VASP itself; each job looks again in any case."""
    functional: Literal["PBE_64", "PBE_54", "PBE_52", "PBE"] = "PBE_54"
    """Family of POTCARs, as pymatgen names them."""
    potcar_symbols: dict[str, str] = {}
    """POTCAR of each element, such as `Zr: Zr_sv`; those left out follow the Materials Project: `Li_sv`,
    `La`, `Zr_sv`, `O`. Their titles and contents are part of each label's identity."""
    incar: dict[str, Any] = {}
    """INCAR tags over those of the preset, such as `{ENCUT: 600}`. Those that change the physics are part of
    each label's identity; those of parallelism, output and the path to convergence are not."""
    kspacing_per_A: Positive | None = None
    """Largest distance between neighbouring k-points, 2 pi included, as VASP's KSPACING (1/angstrom); by
    default that of the preset. The mesh is written into KPOINTS, since versions of VASP round KSPACING
    differently."""
    kpoints_mesh: Repeats | None = None
    """The same Gamma-centred mesh for all frames instead; 1 along vacuum all the same."""
    vacuum_gap_A: Positive = 8.0
    """Along a lattice vector with a gap this wide between atoms (angstrom) one k-point is enough: dimers and
    clusters in a box get Gamma only."""
    magnetic_moments_muB: dict[str, float] = {}
    """Initial magnetic moment of each atom of an element (Bohr magnetons); 0.6 for those left out, from where
    closed shells fall to zero and open ones do not. Frames with a given multiplicity M share M - 1 evenly."""
    retry_incar: list[dict[str, Any]] = [{"ALGO": "All", "NELM": 300}]
    """What later attempts at a failed label change: the first entry holds for the second attempt, the last
    one for all that follow. Only tags that do not change the physics."""
    max_corrections: Annotated[int, Field(ge=0)] = 3
    """Corrections that custodian may make within one attempt. One that would change the physics is not
    made."""
    threads: Count | None = None
    """Cores that one labelling job uses; by default what `command` says (`-n 32`), or 1."""
    timeout_s: Positive = 86400.0
    """Time limit of one label, and of one ionic step of a relaxation or dynamics (seconds)."""
    frozen_s: Positive = 21600.0
    """A run that has printed nothing for this long is stopped and counts as beyond its time limit
    (seconds)."""
    walltime_s: Positive | None = None
    """Time limit of the queue's job that a worker runs in, counted from the worker's start (seconds).
    Dynamics and relaxations are asked to stop after the ionic step under way (STOPCAR) before it is reached,
    and go on in the next job. By default what the batch system says (`PBS_WALLTIME`, `SBATCH_TIMELIMIT`)."""
    frames_per_job: Count = 8
    """Frames that one job labels, one after the other, each in a directory of its own. A job that is killed
    loses at most the frame under way."""
    keep_outputs: Literal["none", "all"] = "none"
    """What of VASP's files is kept once a label is stored: `none` (only the label), or `all` (compressed, in
    `dataset/outputs/` of the campaign directory, named by the structure's hash). Files of failed labels go
    to quarantine in any case, up to `failures.quarantine_limit_MB`."""
    keep_outputs_max_MB: Positive = 50.0
    """With `keep_outputs`: largest archive of one label (10^6 bytes). The smallest files are kept first;
    POTCAR is never kept."""
    min_free_MB: NotNegative = 1000.0
    """Free space on the disk below which no job begins (10^6 bytes)."""

    @property
    def spacing_per_A(self) -> float:
        """Spacing of the k-points, 2 pi included."""
        return PRESETS[self.preset] if self.kspacing_per_A is None else self.kspacing_per_A
