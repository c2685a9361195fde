"""Labelled dimers, sorted into the curves of their pairs."""

import numpy as np
import pytest

from llzo_al.config.initial_data import Dimers
from llzo_al.dataset.frames import Frame, Label, Provenance
from llzo_al.dataset.records import Record
from llzo_al.evaluation import dimers
from llzo_al.evaluation.dimers import compare_dimers, labelled_dimers
from llzo_al.structures.dimers import dimer_frames


def morse(distance_A):
    """Energy, and force along the axis (positive: repulsion), of a made-up pair."""
    decay = np.exp(-2.0 * (distance_A - 1.7))
    return decay**2 - 2 * decay, 4.0 * (decay**2 - decay)


def record(frame, number=0, split="training"):
    distance_A = frame.provenance.details.get("distance_A", 1.0)
    energy, force = morse(distance_A)
    forces = np.zeros((frame.n_atoms, 3))
    forces[:2, 0] = -force, force
    return Record(
        identity=f"{number}",
        frame=frame,
        label=Label(energy_eV=energy - 7.0, forces_eV_per_A=forces, virial_eV=None),
        failure=None,
        split=split,
        provenances=(frame.provenance,),
        physics_hash="0",
    )


def records(**keys):
    frames = dimer_frames(Dimers(kind="dimers", points=5, **keys), ["Li", "O"])
    return [record(frame, number) for number, frame in enumerate(frames)]


def test_each_pair_by_growing_distance():
    found = labelled_dimers(reversed(records()), force_cap_eV_per_A=1000)
    assert {curve.symbols for curve in found} == {("Li", "Li"), ("Li", "O"), ("O", "O")}
    for curve in found:
        assert len(curve.distances_A) == 5
        assert np.all(np.diff(curve.distances_A) > 0)
        energies, forces = morse(np.array(curve.distances_A))
        np.testing.assert_allclose(curve.energies_eV, energies - 7.0, atol=1e-5)
        np.testing.assert_allclose(curve.forces_eV_per_A, forces, atol=1e-4)
        assert (curve.grid_A[0], curve.grid_A[-1]) == (curve.distances_A[0], curve.distances_A[-1])


def test_another_charge_is_another_curve():
    neutral, charged = records(pairs=["Li-O"]), records(pairs=["Li-O"], charges={"Li-O": 1})
    found = labelled_dimers([*neutral, *charged], force_cap_eV_per_A=1000)
    assert sorted(curve.charge for curve in found) == [0, 1]


def test_uses_and_what_is_no_labelled_dimer():
    made = records(pairs=["Li-O"])
    frame = made[0].frame
    crystal = Provenance(source="crystals", kind="x", group="x", details={"distance_A": 1.0})
    others = [
        record(Frame(**{**vars(frame), "provenance": crystal})),
        Record(**{**vars(made[1]), "label": None}),
    ]
    made[2] = Record(**{**vars(made[2]), "split": "held-out"})
    beyond = abs(morse(made[0].frame.provenance.details["distance_A"])[1]) - 0.01
    (curve,) = labelled_dimers([*others, made[0], *made[2:]], force_cap_eV_per_A=beyond)
    assert curve.uses == ("excluded", "held-out", "training", "training")


def test_a_perfect_model_has_no_error_and_energies_count_from_the_longest_distance(tmp_path, monkeypatch):
    labelled = labelled_dimers(records(pairs=["Li-O"]), force_cap_eV_per_A=1000)

    def child(module, spec, **_):
        (pair,) = spec["pairs"]
        energies, forces = morse(np.array(pair["distances_A"]))
        shifts = (0.0, 1.0)
        return {
            "models": [
                [{"energies_eV": list(energies - 7.0 + shift), "forces_eV_per_A": list(forces)}]
                for shift in shifts
            ]
        }

    monkeypatch.setattr(dimers, "run_child", child)
    (curve,) = compare_dimers([tmp_path / "a", tmp_path / "b"], labelled, tmp_path)
    assert curve["energy_rmse_eV"] == pytest.approx(0, abs=1e-4)
    assert curve["force_rmse_eV_per_A"] == pytest.approx(0, abs=1e-4)
    assert curve["energies_eV"][-1] == 0
    assert curve["model_energies_eV"][0][-1] == pytest.approx(0, abs=1e-6)
    assert curve["model_energies_eV"][1][-1] == pytest.approx(1, abs=1e-6)
    minimum = curve["model_distances_A"][int(np.argmin(curve["model_energies_eV"][0]))]
    assert minimum == pytest.approx(1.7, abs=0.03)
