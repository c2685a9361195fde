"""Whether a run that somebody else made has the level of theory of a campaign."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llzo_al.config.labelling import VASP
from llzo_al.config.labelling.vasp_tags import canonical_tags, changes_physics
from llzo_al.dataset.frames import Frame
from llzo_al.labelling.vasp.compare import same_value
from llzo_al.labelling.vasp.inputs import mesh_of
from llzo_al.labelling.vasp.outputs import ParsedRun
from llzo_al.labelling.vasp.potcars import Potcar, read_potcars
from llzo_al.labelling.vasp.settings import all_tags

ACCEPTABLE = ("ADDGRID", "EDIFF", "KPOINTS", "LREAL", "PREC")
"""What a user may declare good enough: numerical settings. Others are another level of theory."""

DEFAULTS: Mapping[str, Any] = {
    "ADDGRID": False,
    "EDIFF": 1e-4,
    "EFIELD": 0.0,
    "EPSILON": 1.0,
    "GGA": "--",
    "GGA_COMPAT": True,
    "IDIPOL": 0,
    "ISMEAR": 1,
    "ISPIN": 1,
    "IVDW": 0,
    "KPOINT_BSE": [-1, 0, 0, 0],
    "LASPH": False,
    "LCALCEPS": False,
    "LCALCPOL": False,
    "LCOMPAT": False,
    "LCORR": True,
    "LDAU": False,
    "LDIPOL": False,
    "LEFG": False,
    "LHFCALC": False,
    "LMAXPAW": -100,
    "LMONO": False,
    "LNONCOLLINEAR": False,
    "LPEAD": False,
    "LREAL": False,
    "LRHFATM": False,
    "LSOL": False,
    "LSORBIT": False,
    "LUSE_VDW": False,
    "METAGGA": "none",
    "PREC": "normal",
    "PSTRESS": 0.0,
    "SCALEE": 1.0,
    "SIGMA": 0.2,
    "VOSKOWN": 0,
}
"""What VASP takes where INCAR does not say."""

_OF_THE_FRAME = frozenset({"MAGMOM", "NELECT", "NUPDOWN", "KSPACING", "KGAMMA", "RWIGS"})
"""Tags that are compared otherwise, or that say how the same electrons are looked at."""
_USED_AS = {"ENCUT": "ENMAX"}
_WORDS_FIRST = frozenset({"GGA", "METAGGA"})
_NO_METAGGA = frozenset({"none", "--", "f", "false", ""})
_DIGITS_OF_OUTCAR = {"ENCUT": 0.051, "SIGMA": 0.0051}


@dataclass(frozen=True)
class Theory:
    """The level of theory of a campaign, as runs are compared with it.

    Attributes
    ----------
    settings
        Section `labelling` of the campaign file.
    elements
        Elements of the campaign.
    tags
        INCAR tags that change a label.
    potcars
        POTCAR of each element, without its text.
    """

    settings: VASP
    elements: tuple[str, ...]
    tags: Mapping[str, Any]
    potcars: Mapping[str, Potcar]

    @classmethod
    def of(cls, settings: VASP, elements: Sequence[str]) -> Theory:
        """The level of theory that the campaign file asks for.

        Raises
        ------
        UserError
            If a POTCAR is missing: without it the level of theory is not known.
        """
        tags = {tag: value for tag, value in all_tags(settings).items() if changes_physics(tag)}
        return cls(
            settings=settings,
            elements=tuple(elements),
            tags=tags,
            potcars={
                element: replace(potcar, text="")
                for element, potcar in read_potcars(settings, elements).items()
            },
        )

    def differences(self, run: ParsedRun, frame: Frame) -> dict[str, str]:
        """What of a run changes its labels against those of the campaign: tag, and what differs.

        Every tag that the campaign asks for, that the run's INCAR holds, or whose default is known is
        compared; a tag that does not change the physics is not. Initial magnetic moments are not compared.

        Parameters
        ----------
        run
            The run.
        frame
            Its first structure, which the k-point mesh belongs to.
        """
        found = dict(self._tags(run))
        if why := self._mesh(run, frame):
            found["KPOINTS"] = why
        if why := self._potcars(run):
            found["POTCAR"] = why
        return found

    def _tags(self, run: ParsedRun) -> Iterator[tuple[str, str]]:
        incar, used = canonical_tags(run.incar), canonical_tags(run.parameters)
        told = {*incar, *(tag for tag in DEFAULTS if tag in used), *self.tags}
        for tag in sorted(told - _OF_THE_FRAME):
            if tag.startswith("LDAU") and tag != "LDAU" and not _hubbard(incar, self.tags):
                continue
            if not changes_physics(tag):
                continue
            asked = self.tags.get(tag, DEFAULTS.get(tag))
            value = _used(tag, incar, used)
            if not _same(tag, asked, value, run):
                yield tag, f"{tag} is {_word(value)}, the campaign has {_word(asked)}"

    def _mesh(self, run: ParsedRun, frame: Frame) -> str:
        asked = mesh_of(frame, self.settings)
        if run.kpoints is None:
            return "the k-point mesh cannot be told from the file; keep vasprun.xml with it"
        if run.kpoints != asked:
            return f"the k-point mesh is {_times(run.kpoints)}, by the campaign's rule it is {_times(asked)}"
        if run.gamma_centred is False:
            return f"the k-point mesh {_times(asked)} does not hold the Gamma point"
        return ""

    def _potcars(self, run: ParsedRun) -> str:
        other = [
            f"{title} (the campaign has {self.potcars[species].title})"
            for species, title in zip(run.species, run.potcar_titles, strict=True)
            if species in self.potcars and not same_value(self.potcars[species].title, title)
        ]
        return f"POTCAR {', '.join(other)}" if other else ""

    def charge(self, run: ParsedRun) -> float:
        """Total charge of a run's cell in elementary charges, by NELECT and the POTCARs' valence."""
        electrons = run.parameters.get("NELECT", run.incar.get("NELECT"))
        if electrons is None or any(symbol not in self.potcars for symbol in run.symbols):
            return 0.0
        return sum(self.potcars[symbol].n_electrons for symbol in run.symbols) - float(electrons)


_NOT_SELF_CONSISTENT = re.compile(
    r"none|nothing|eigenval|exact|(ev|qp|sc)?g0?w.*|chi|bse|tdhf|timeev|acfdt.*|rpa.*"
)
_IALGO_NOT_SELF_CONSISTENT = (2, 3, 90)


def unusable(run: ParsedRun) -> str:
    """Why a run's energies and forces are no labels whatever its settings, or ""."""
    tags = {**canonical_tags(run.parameters), **canonical_tags(run.incar)}
    if _whole(tags.get("ICHARG", 0)) >= 10:
        return f"ICHARG = {tags['ICHARG']}: the charge density was not made self-consistent"
    algo, ialgo = str(tags.get("ALGO", "")).strip().lower(), _whole(tags.get("IALGO", 38))
    if _NOT_SELF_CONSISTENT.fullmatch(algo) or ialgo in _IALGO_NOT_SELF_CONSISTENT:
        return f"ALGO = {algo or ialgo}: the electrons were not made self-consistent"
    if _whole(tags.get("IMAGES", 0)) > 0:
        return f"IMAGES = {tags['IMAGES']}: the forces hold the springs of a chain of images"
    if _whole(tags.get("IBRION", -1)) == 44:
        return "IBRION = 44: the forces of the dimer method are not those of the structure"
    return ""


def unacceptable(accept: Collection[str]) -> list[str]:
    """Tags that a user cannot declare good enough."""
    return sorted({tag.upper() for tag in accept} - set(ACCEPTABLE))


def _used(tag: str, incar: Mapping[str, Any], used: Mapping[str, Any]) -> Any:
    """Value that VASP used, as far as its file tells."""
    effective = used.get(_USED_AS.get(tag, tag), used.get(tag))
    places = (incar.get(tag), effective) if tag in _WORDS_FIRST else (effective, incar.get(tag))
    return next((value for value in places if value is not None), DEFAULTS.get(tag))


def _same(tag: str, asked: Any, value: Any, run: ParsedRun) -> bool:
    if tag == "METAGGA":
        return _functional(asked) == _functional(value)
    if tag == "GGA":
        return _gga(asked, run) == _gga(value, run)
    if "vasprun" not in run.source.lower() and tag in _DIGITS_OF_OUTCAR and _numbers(asked, value):
        return bool(abs(asked - value) < _DIGITS_OF_OUTCAR[tag])
    return same_value(asked, value)


def _hubbard(*tags: Mapping[str, Any]) -> bool:
    """Whether one of two sets of tags switches a Hubbard U on, without which its parameters mean nothing."""
    return any(not same_value(False, each.get("LDAU", False)) for each in tags)


def _numbers(*values: Any) -> bool:
    return all(isinstance(value, int | float) for value in values)


def _functional(value: Any) -> str:
    name = str(value).strip(" .").lower()
    return "" if name in _NO_METAGGA else name


def _gga(value: Any, run: ParsedRun) -> str:
    """GGA, where it is left to the POTCARs by what these are."""
    name = str(value).strip(" .").upper()
    if name not in ("--", "", "NONE"):
        return name
    return "PE" if all(title.startswith("PAW_PBE") for title in run.potcar_titles) else "OF THE POTCARS"


def _whole(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and value == value else 0


def _word(value: Any) -> str:
    return "not given" if value is None else str(value)


def _times(mesh: tuple[int, int, int]) -> str:
    return "x".join(map(str, mesh))
