"""A frame's cell as LAMMPS wants it, and the way back to the frame's own orientation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llzo_al.dataset.frames import FloatArray

TILT_A = 1e-6
"""Tilts up to the grid that frames are kept on (angstrom) are taken for zero."""


@dataclass(frozen=True, kw_only=True)
class LammpsBox:
    """Lower-triangular cell and the rotation that relates it to the frame's cell.

    Attributes
    ----------
    cell_A
        LAMMPS's cell, vectors as rows, shape (3, 3): lower triangular with a positive diagonal.
    rotation
        Orthogonal matrix, shape (3, 3), with ``cell of the frame = cell_A @ rotation``. For a left-handed
        cell its determinant is -1: LAMMPS then runs the mirror image, which has the same energy and mirrored
        forces.
    """

    cell_A: FloatArray
    rotation: FloatArray

    @classmethod
    def of(cls, cell_A: FloatArray) -> LammpsBox:
        """Box of a frame's cell (vectors as rows, shape (3, 3)).

        Raises
        ------
        ValueError
            If the three vectors span no volume.
        """
        if abs(np.linalg.det(cell_A)) < 1e-6:
            raise ValueError("the cell's vectors span no volume; molecular dynamics needs a periodic cell")
        orthogonal, upper = np.linalg.qr(cell_A.T)
        signs = np.sign(np.diag(upper))
        lower = np.tril(upper.T * signs)
        tilts = np.tril(lower, -1)
        tilts[np.abs(tilts) < TILT_A] = 0.0
        return cls(cell_A=np.diag(np.diag(lower)) + tilts, rotation=signs[:, None] * orthogonal.T)

    @property
    def orthogonal(self) -> bool:
        """Whether the three vectors are at right angles."""
        return not np.tril(self.cell_A, -1).any()

    def to_frame(self, vectors: FloatArray) -> FloatArray:
        """Vectors (rows) in the frame's orientation."""
        rotated: FloatArray = vectors @ self.rotation
        return rotated

    def tensor_to_frame(self, tensor: FloatArray) -> FloatArray:
        """Tensor of rank two, shape (3, 3), in the frame's orientation."""
        rotated: FloatArray = self.rotation.T @ tensor @ self.rotation
        return rotated

    def create_commands(self, n_types: int) -> list[str]:
        """LAMMPS commands that create the box."""
        (xx, _, _), (xy, yy, _), (xz, yz, zz) = (list(map(float, row)) for row in self.cell_A)
        if self.orthogonal:
            region = f"region cell block 0 {xx!r} 0 {yy!r} 0 {zz!r} units box"
        else:
            region = f"region cell prism 0 {xx!r} 0 {yy!r} 0 {zz!r} {xy!r} {xz!r} {yz!r} units box"
        return ["box tilt large", region, f"create_box {n_types} cell"]
