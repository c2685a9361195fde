"""A labeller that fails on chosen frames at chosen attempts, and labels the others within the process."""

from __future__ import annotations

from dataclasses import dataclass, field

from ase.calculators.morse import MorsePotential

from llzo_al.dataset.frames import LabelFailure
from llzo_al.dataset.identity import structure_hash
from llzo_al.labelling.base import checked_label


@dataclass
class Flaky:
    """ASE's Morse potential, but for the frames of `script`.

    `script` holds for the number of a frame, in the order in which frames are first given to it, the causes
    of its failed attempts one after the other. All else is that of `inner`, the campaign's real labeller.
    """

    inner: object
    script: dict[int, list[str]]
    files: dict[str, bytes] = field(default_factory=dict)
    calls: list[tuple[int, list]] = field(default_factory=list)
    raises: BaseException | None = None
    _known: list = field(default_factory=list)

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def label(self, frames, directory, *, attempt=1, progress=None):
        self.calls.append((attempt, list(frames)))
        for index, frame in enumerate(frames):
            key = structure_hash(frame)
            if key not in self._known:
                self._known.append(key)
            causes = self.script.get(self._known.index(key), [])
            if attempt <= len(causes):
                self._leave(directory / f"frame-{index}")
                yield index, LabelFailure(cause=causes[attempt - 1], reason=f"attempt {attempt} went wrong")
            else:
                yield index, morse_label(frame)
        if self.raises is not None:
            raise self.raises

    def _leave(self, place):
        for name, content in self.files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)


def morse_label(frame):
    """Label of a frame by ASE's Morse potential."""
    atoms = frame.to_atoms()
    atoms.calc = MorsePotential(r0=1.5, rho0=3.0, rcut1=3.0, rcut2=3.5)
    return checked_label(
        frame,
        energy_eV=atoms.get_potential_energy(),
        forces_eV_per_A=atoms.get_forces(),
        virial_eV=-atoms.get_stress(voigt=False) * atoms.get_volume(),
        wall_s=0.01,
    )
