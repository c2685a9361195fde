"""Which of custodian's handlers watch which kind of run, and when they are asked.

custodian's handlers load pymatgen's analysis modules, which takes seconds. A run that ends well needs none of
them, so that each stands here behind a `Deferred` handler, which loads it while VASP works or when something
is wrong.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from custodian.custodian import ErrorHandler
from custodian.utils import tracked_lru_cache

_HANDLERS = "custodian.vasp.handlers"
_HALF_WRITTEN = (OSError, ValueError, IndexError, KeyError, AttributeError, TypeError)

CORRECTABLE = (
    "brmix",
    "subspacematrix",
    "inv_rot_mat",
    "rot_matrix",
    "pricel",
    "pricelv",
    "posmap",
    "point_group",
    "symprec_noise",
    "rhosyg",
    "bravais",
    "ibzkpt",
    "amin",
    "zpotrf",
    "pssyevx",
    "pdsyevx",
    "eddrmm",
    "edddav",
    "zheev",
    "eddiag",
    "grad_not_orth",
    "elf_kpar",
    "too_few_bands",
    "nbands_not_sufficient",
    "coef",
    "dfpt_ncore",
    "real_optlay",
    "rspher",
    "set_core_wf",
    "read_error",
)
"""Errors of `VaspErrorHandler` that are looked for in static labels. Those that only dynamics, relaxations
or the tetrahedron method have are left out."""


class Deferred(ErrorHandler):
    """One of custodian's handlers, loaded only when it is needed.

    A correction that would change the physics is taken back and counts as none.

    Parameters
    ----------
    name
        Class in `custodian.vasp.handlers`.
    arguments
        Its keyword arguments.
    needed
        Tells whether the handler is to be asked about a directory.
    changed
        Tells what the files in a directory change of the physics asked for; empty if nothing.
    is_monitor, is_terminating, raises_runtime_error
        As custodian's handler has them.
    """

    def __init__(
        self,
        name: str,
        arguments: Mapping[str, Any],
        *,
        needed: Callable[[Path], bool],
        changed: Callable[[Path], Sequence[str]],
        is_monitor: bool = True,
        is_terminating: bool = True,
        raises_runtime_error: bool = True,
    ) -> None:
        self.name = name
        self.arguments = dict(arguments)
        self.is_monitor = is_monitor
        self.is_terminating = is_terminating
        self.raises_runtime_error = raises_runtime_error
        self.refused = ""
        self._needed = needed
        self._changed = changed
        self._handler: Any = None

    def check(self, directory: str = "./") -> bool:
        """Whether something is wrong; files that are not whole yet tell nothing."""
        if not self._needed(Path(directory)):
            return False
        try:
            return bool(self._loaded().check(directory))
        except _HALF_WRITTEN:
            return False

    def correct(self, directory: str = "./") -> dict[str, Any]:
        """Correct it, unless that changes the physics."""
        place = Path(directory)
        paths = [path for name in ("INCAR", "KPOINTS", "POSCAR") if (path := place / name).is_file()]
        before = {path: path.read_bytes() for path in paths}
        try:
            done = self._correct(directory)
        except _HALF_WRITTEN as error:
            return {"errors": [f"{self.name}: {error}"], "actions": None}
        told = list(self._changed(place))
        if not told:
            return done
        for path, content in before.items():
            path.write_bytes(content)
        self.refused = f"custodian's remedy would change the physics ({'; '.join(told)}) and was not taken"
        return {"errors": done.get("errors", []), "actions": None}

    def _correct(self, directory: str) -> dict[str, Any]:
        """The handler's own correction.

        Some compare the number of electrons with the number of cores, and stumble over an OUTCAR that ends
        before it is told; without an OUTCAR they get along.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                done: dict[str, Any] = self._loaded().correct(directory)
            except TypeError:
                outcar = Path(directory) / "OUTCAR"
                if not outcar.is_file():
                    raise
                outcar.rename(outcar.with_name("OUTCAR.broken"))
                tracked_lru_cache.tracked_cache_clear()
                done = self._loaded().correct(directory)
            return done

    def as_dict(self) -> dict[str, Any]:
        """For custodian's log."""
        return {"@module": _HANDLERS, "@class": self.name, **self.arguments}

    def _loaded(self) -> Any:
        if self._handler is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._handler = getattr(importlib.import_module(_HANDLERS), self.name)(**self.arguments)
        return self._handler


class Watch(ErrorHandler):
    """Finds nothing wrong ever; tells how many ionic steps are done.

    Parameters
    ----------
    tell
        Called with the number of finished ionic steps when it has grown.
    """

    is_monitor = True

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._steps = 0
        self._read = 0

    def check(self, directory: str = "./") -> bool:
        """Look at what OSZICAR has got since the last look."""
        try:
            with (Path(directory) / "OSZICAR").open("rb") as handle:
                handle.seek(self._read)
                new = handle.read()
        except OSError:
            return False
        self._read += len(new)
        finished = new.count(b" F= ")
        if finished:
            self._steps += finished
            self._tell(self._steps)
        return False

    def correct(self, directory: str = "./") -> dict[str, Any]:  # noqa: ARG002
        """Never asked for."""
        return {"errors": [], "actions": None}

    def as_dict(self) -> dict[str, Any]:
        """For custodian's log."""
        return {"@module": __name__, "@class": "Watch"}


def static_handlers(
    *, frozen_s: float, needed: Callable[[Path], bool], changed: Callable[[Path], Sequence[str]]
) -> list[Deferred]:
    """Handlers of static labels.

    Errors of VASP that have a remedy are corrected and the run starts anew; one that prints nothing any more
    is stopped. Left out are: `UnconvergedErrorHandler` (convergence is judged from the files, and what a
    later attempt changes stands in the campaign file), `PositiveEnergyErrorHandler` (two atoms that touch do
    have a positive energy), and the handlers that change smearing, k-points or accuracy.
    """
    return [
        Deferred(
            "VaspErrorHandler",
            {"errors_subset_to_catch": list(CORRECTABLE)},
            needed=needed,
            changed=changed,
        ),
        Deferred("StdErrHandler", {}, needed=needed, changed=changed),
        Deferred("FrozenJobErrorHandler", {"timeout": frozen_s}, needed=needed, changed=changed),
    ]


def moving_handlers(
    *,
    frozen_s: float,
    walltime_s: float | None,
    buffer_s: float,
    needed: Callable[[Path], bool],
    changed: Callable[[Path], Sequence[str]],
) -> list[Deferred]:
    """Handlers of dynamics and relaxations: they stop a run, and correct nothing.

    A correction starts VASP anew in the same directory, over the ionic steps that it has finished. Here a run
    that ends early is continued in a new directory from its last structure instead.
    """
    return [
        Deferred("FrozenJobErrorHandler", {"timeout": frozen_s}, needed=needed, changed=changed),
        Deferred(
            "WalltimeHandler",
            {"wall_time": walltime_s, "buffer_time": buffer_s},
            needed=needed,
            changed=changed,
            is_terminating=False,
            raises_runtime_error=False,
        ),
    ]
