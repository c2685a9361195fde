"""Which parts of the software stack are present on this machine, and whether they work."""

from llzo_al.doctor.check import Check, Status
from llzo_al.doctor.diagnosis import diagnose, ready
from llzo_al.doctor.show import as_json, render

__all__ = ["Check", "Status", "as_json", "diagnose", "ready", "render"]
