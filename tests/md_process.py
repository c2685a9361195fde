"""Runs the molecular dynamics of the kill test until it is killed: ``python md_process.py DIRECTORY``."""

import sys
from pathlib import Path

from exploration_cases import classical_run, start_frame
from llzo_al.exploration.md import run_md

LONG_RUN = classical_run(
    start_frame("Li2O", supercell=(2, 2, 2)),
    steps=4000,
    frame_interval_steps=20,
    restart_interval_steps=200,
)

if __name__ == "__main__":
    directory = Path(sys.argv[1])
    run_md(LONG_RUN, directory, progress=directory / "progress" / "md.json")
