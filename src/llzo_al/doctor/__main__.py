"""Answers one probe in a process of its own: ``python -m llzo_al.doctor NAME``."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict

from llzo_al.doctor.diagnosis import PROBES, ask
from llzo_al.process import die_with_parent


def main() -> None:
    """Print one check as JSON; what libraries print goes to standard error."""
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in PROBES:
        sys.exit(f"usage: python -m llzo_al.doctor NAME, with NAME one of {', '.join(PROBES)}")
    if len(sys.argv) == 3:
        die_with_parent(int(sys.argv[2]))
    answer = os.dup(1)
    os.dup2(2, 1)
    check = ask(sys.argv[1])
    sys.stdout.flush()
    os.write(answer, json.dumps(asdict(check)).encode() + b"\n")
    # Libraries that crash while Python ends have nothing to say any more.
    os._exit(0)


if __name__ == "__main__":
    main()
