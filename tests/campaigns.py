"""Campaigns small enough for tests: real engines, a crystal of Li2O, a network of a few neurons."""

from __future__ import annotations

from pathlib import Path

from llzo_al.campaign.campaign import Campaign
from llzo_al.config.load import load_campaign

CRYSTALS = """\
  - kind: crystals
    structures: [Li2O]
    scale_factors: [0.98, 1.0, 1.02]
    rattled_copies: 2
"""
REFERENCE_MD = """\
  - kind: reference_md
    structures: [Li2O]
    temperatures_K: [300, 600]
    duration_ps: 0.2
    equilibration_ps: 0.05
    snapshot_interval_fs: 50
"""
NETWORK = """\
  rcut_A: 4.0
  embedding_neurons: [4, 8]
  axis_neurons: 4
  fitting_neurons: [16, 16]
  learning_rate: 0.01
  compress: false
"""
DIMERS = """\
  - kind: dimers
    pairs: [Li-O]
    distance_min_A: 1.4
    distance_max_A: 3.0
    points: 4
    box_length_A: 16
"""
TINY = f"""\
name: tiny
elements: [Li, O]
seed: 3
initial_data:
{DIMERS}{CRYSTALS}{REFERENCE_MD}labelling:
  engine: classical_reference
training:
  committee_size: 2
  steps: 120
  final_steps: 60
  warm_start: true
{NETWORK}exploration:
  structures: [Li2O]
  temperatures_K: [400]
  replicas: 2
  duration_ps: 0.1
  frame_interval_fs: 10
coverage:
  bins: 8
  descriptor: {{cutoff_A: 4.0, n_max: 3, l_max: 2}}
selection:
  max_frames: 3
  held_out_frames: 2
stopping:
  coverage_ratio: 0.0
  energy_rmse_meV_per_atom: 100000
  force_rmse_meV_per_A: 100000
  stable_runs_share: 0.0
  min_iterations: 2
  max_iterations: 2
"""


def write_tiny(directory: Path, **replacements: str) -> Path:
    """Write the tiny campaign's file with some of its lines replaced, and return its path."""
    text = TINY
    for old, new in replacements.items():
        if old not in text:
            raise KeyError(old)
        text = text.replace(old, new)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "campaign.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def make_tiny(directory: Path, **replacements: str) -> Campaign:
    """Write the tiny campaign's file, and make its directory as `run` does before its first stage."""
    loaded = load_campaign(write_tiny(directory, **replacements))
    return Campaign.create(root=loaded.campaign_dir, config=loaded.config, campaign_file=loaded.path)
