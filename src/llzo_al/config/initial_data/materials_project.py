"""Crystals of the Materials Project, scaled, displaced and strained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from llzo_al.config.base import Count, Finding, NotNegative, Positive, Rule, all_different, smaller
from llzo_al.config.initial_data.deformations import Deformations

ChemicalSystem = Annotated[str, Field(pattern=r"^[A-Z][a-z]?(-[A-Z][a-z]?)*$")]


def _no_filters_without_a_database(
    folder: str | None, energy_above_hull_max: float | None, experimental_only: bool
) -> Iterable[Finding]:
    if folder is None:
        return
    for key, given in (
        ("energy_above_hull_max_eV_per_atom", energy_above_hull_max is not None),
        ("experimental_only", experimental_only),
    ):
        if given:
            yield (
                (key,),
                "given beside folder; files hold no such property: leave the key out, and the files that you "
                "do not want too",
            )


class MaterialsProject(Deformations):
    """Crystals of the Materials Project, or of a folder of your own files in its place."""

    rules: ClassVar[tuple[Rule, ...]] = (
        all_different("chemical_systems"),
        all_different("fields"),
        smaller("scale_min", "scale_max"),
        Rule(
            ("folder", "energy_above_hull_max_eV_per_atom", "experimental_only"),
            _no_filters_without_a_database,
        ),
        *Deformations.rules,
    )
    places: ClassVar[tuple[str, ...]] = ("cache", "timeout_s")
    """Keys that say where and how an answer is got, and change none of the structures."""

    kind: Literal["materials_project"]
    """Crystals of the Materials Project (materialsproject.org), through its API. The API's key is taken
    from the environment variable `MP_API_KEY`, or from pymatgen's settings (`PMG_MAPI_KEY` in
    `~/.config/.pmgrc.yaml`); it is never written anywhere. Answers are kept on disk, so that a second run
    needs no key and no network."""
    chemical_systems: Annotated[list[ChemicalSystem], Field(min_length=1)] | None = None
    """Chemical systems such as `Li-O`, each without its subsystems; by default all that the campaign's
    elements span: elements, binaries, ternaries and so on."""
    energy_above_hull_max_eV_per_atom: NotNegative | None = None
    """Only materials at most this far above the convex hull (eV/atom); by default all."""
    atoms_max: Count = 200
    """Only materials with at most this many atoms in the cell that the database holds."""
    experimental_only: bool = False
    """Only materials that match an experimentally known structure."""
    gnome: bool = False
    """Include the structures of GNoME, which are licensed for non-commercial use only and need an account
    that has agreed to that."""
    fields: list[Annotated[str, Field(pattern=r"^[A-Za-z]\w*(\.\w+)*$")]] = [
        "energy_above_hull",
        "theoretical",
        "symmetry",
    ]
    """Properties of the database's summary documents that are kept in the provenance of each frame, besides
    material id, formula and structure."""
    skip_incomplete: bool = False
    """Go on without the materials whose answer lacks one of the fields or whose structure cannot be used; by
    default the first one stops the campaign."""
    folder: str | None = None
    """A folder of structure files (CIF, POSCAR, extended XYZ) that is read in place of the database,
    relative to the campaign file; the file's name is the material id. No key and no network are needed
    then."""
    cache: str | None = None
    """Folder that answers of the database are kept in, relative to the campaign file; by default
    `llzo-al/materials_project` in the user's cache directory (`$XDG_CACHE_HOME`, or `~/.cache`), which all
    campaigns share. To ask the database anew, remove the file that the campaign names."""
    endpoint: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """Address of the API, for mirrors; by default the Materials Project's own."""
    timeout_s: Positive = 10.0
    """How long to wait for a first sign of the API (seconds)."""
    cell: Literal["as_given", "primitive", "conventional"] = "as_given"
    """Cell that copies are made of: that of the database, the primitive, or the conventional standard one."""
    length_min_A: NotNegative = 0.0
    """Repeat each cell along its vectors until its planes are at least this far apart (angstrom), before
    `supercell`; 0 leaves small cells small."""
    deduplicate: bool = True
    """Keep one of several materials that are the same structure but for a scale factor, as pymatgen's
    StructureMatcher sees it: the one lowest above the hull."""
    match_length_tolerance: Positive = 0.05
    """Relative difference of lattice constants up to which structures match."""
    match_site_tolerance: Positive = 0.05
    """Root-mean-square displacement up to which structures match, in units of the cube root of the volume
    per atom: 0.05 is about 0.1 angstrom. The matcher's own default, 0.3, would merge distorted variants of a
    structure, which a potential has to tell apart."""
    match_angle_tolerance_deg: Positive = 2.0
    """Difference of cell angles up to which structures match (degrees)."""
    scale_min: Annotated[float, Field(ge=0.5, le=2)] = 0.8
    """Smallest linear scale factor: the lattice constants are multiplied by it. The default range is that
    of You et al. (2024)."""
    scale_max: Annotated[float, Field(ge=0.5, le=2)] = 1.2
    """Largest linear scale factor."""
    scale_points: Annotated[int, Field(ge=2)] = 9
    """Linear scale factors from `scale_min` to `scale_max`, evenly spaced, both ends included.
    `scale_factors` (linear) or `volume_factors` (volumetric) list the factors themselves in place of this
    range."""
    rattled_copies: Annotated[int, Field(ge=0)] = 0
    """Copies with random displacements for each factor, besides the undisplaced one."""
    relax: bool = False
    """Have the labeller relax each material too, and keep the frames of the path. The scaled copies are those
    of the database's structure in any case. All frames of a material then share their split."""
    relax_cell: bool = True
    """Whether the cell relaxes too."""
    relax_fmax_eV_per_A: Positive = 0.05
    """A relaxation has converged when no force is larger (eV/angstrom)."""
    relax_steps_max: Count = 100
    """Ionic steps after which a relaxation ends in any case."""
    relax_keep_every: Count = 5
    """Ionic steps between the frames of a path that are kept; the start and the end are kept always."""

    @property
    def length_factors(self) -> dict[str, float]:
        """Linear factor of each scaling by its name; see `Deformations.length_factors`."""
        if self.scale_factors is not None or self.volume_factors is not None:
            return super().length_factors
        step = (self.scale_max - self.scale_min) / (self.scale_points - 1)
        factors = [round(self.scale_min + index * step, 6) for index in range(self.scale_points)]
        return {f"{factor:.6g}": factor for factor in factors}

    def settings(self) -> dict[str, Any]:
        """JSON-serialisable values of all that the structures depend on; see `Section.settings`."""
        values = super().settings()
        return {key: value for key, value in values.items() if key not in self.places}
