"""A local HTTP server that answers in the format of the Materials Project's API.

It knows two routes: ``/heartbeat`` and ``/materials/summary/`` with the query parameters that mp-api's own
client sends (chemsys, nsites_min/max, energy_above_hull_min/max, theoretical, deprecated, batch_id_not_eq,
_fields, _limit, _skip). The materials are published crystals, but their ids, energies and other properties
are made up for the tests."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from llzo_al.structures.library import load_structure

KEY = "0123456789abcdefghijklmnopqrSTUV"
DATABASE_VERSION = "2025.09.25.post1"


@cache
def published_structures() -> dict[str, Structure]:
    """Crystals of the Li-La-Zr-O system by an id of these tests.

    Li2O, La2O3 and monoclinic ZrO2 as `llzo_al.structures.library` gives them, with their references. The
    others:

    - bcc lithium, a = 3.5093 angstrom, and hcp zirconium, a = 3.2332, c = 5.1466 angstrom, and double hcp
      lanthanum, a = 3.774, c = 12.171 angstrom: the usual lattice constants of room temperature, within
      1 % of those in the tables of ASE;
    - cubic ZrO2 (fluorite), a = 5.09 angstrom, and tetragonal ZrO2 (P4_2/nmc), a = 3.5960, c = 5.1840
    angstrom,
      z(O) = 0.2098: C. J. Howard, R. J. Hill, B. E. Reichert, Acta Cryst. B 44, 116 (1988) and G. Teufer,
      Acta Cryst. 15, 1187 (1962); not compared with the papers themselves.
    """
    library = {
        name: AseAtomsAdaptor.get_structure(load_structure(name, base=Path()))
        for name in ("Li2O", "La2O3", "ZrO2")
    }
    hexagonal = Lattice.hexagonal
    return {
        "mp-1": Structure(Lattice.cubic(3.5093), ["Li", "Li"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        "mp-2": library["Li2O"].get_primitive_structure(),
        "mp-3": library["La2O3"],
        "mp-4": library["ZrO2"],
        "mp-5": Structure(
            hexagonal(3.2332, 5.1466), ["Zr", "Zr"], [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]
        ),
        "mp-6": Structure(
            hexagonal(3.774, 12.171),
            ["La"] * 4,
            [[0, 0, 0], [0, 0, 0.5], [1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]],
        ),
        "mp-7": Structure.from_spacegroup(
            "Fm-3m", Lattice.cubic(5.09), ["Zr", "O"], [[0, 0, 0], [0.25, 0.25, 0.25]]
        ).get_primitive_structure(),
        "mp-8": Structure(
            Lattice.tetragonal(3.596, 5.184),
            ["Zr", "Zr", "O", "O", "O", "O"],
            [
                [0, 0, 0],
                [0.5, 0.5, 0.5],
                [0, 0.5, 0.2098],
                [0.5, 0, 0.2902],
                [0, 0.5, 0.7098],
                [0.5, 0, 0.7902],
            ],
        ),
    }


def document(material_id: str, structure: Structure, **changes: Any) -> dict[str, Any]:
    """A summary document in the shape that the API gives it, with some of its many fields."""
    composition = structure.composition
    return {
        "builder_meta": {"emmet_version": "0.86.4", "database_version": DATABASE_VERSION, "license": "BY-C"},
        "nsites": len(structure),
        "elements": sorted(str(element) for element in composition.elements),
        "nelements": len(composition.elements),
        "composition": composition.as_dict(),
        "formula_pretty": composition.reduced_formula,
        "chemsys": composition.chemical_system,
        "volume": structure.volume,
        "symmetry": {"crystal_system": "Cubic", "symbol": "Fm-3m", "number": 225, "symprec": 0.1},
        "material_id": material_id,
        "deprecated": False,
        "last_updated": {"$date": "2025-02-12T01:18:49.014Z"},
        "warnings": [],
        "structure": structure.as_dict(),
        "task_ids": [material_id],
        "energy_per_atom": -5.0,
        "energy_above_hull": 0.0,
        "is_stable": True,
        "theoretical": False,
        "database_IDs": {"icsd": ["icsd-1"]},
    } | changes


def default_documents() -> list[dict[str, Any]]:
    """The published crystals; cubic zirconia is metastable, tetragonal zirconia metastable and
    theoretical."""
    changes: dict[str, dict[str, Any]] = {
        "mp-7": {"energy_above_hull": 0.09, "is_stable": False},
        "mp-8": {"energy_above_hull": 0.04, "is_stable": False, "theoretical": True},
    }
    return [
        document(name, structure, **changes.get(name, {}))
        for name, structure in published_structures().items()
    ]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, documents: Sequence[Mapping[str, Any]], heartbeat: Mapping[str, Any]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.documents = list(documents)
        self.heartbeat = dict(heartbeat)
        self.requests: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.needs_key = True
        self.broken: tuple[int, bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((parts.path, query, headers))
        if parts.path == "/heartbeat":
            self._send(200, self.server.heartbeat)
        elif self.server.broken is not None:
            self._write(*self.server.broken)
        elif parts.path == "/materials/summary/":
            if self.server.needs_key and headers.get("x-api-key") != KEY:
                self._send(401, {"message": "Invalid authentication credentials"})
            else:
                self._send(200, self._search(query))
        else:
            self._send(404, {"detail": "Not Found"})

    def _search(self, query: Mapping[str, str]) -> dict[str, Any]:
        found = [document for document in self.server.documents if _matches(document, query)]
        start, limit = int(query.get("_skip", 0)), int(query.get("_limit", 100))
        fields = query["_fields"].split(",") if "_fields" in query else None
        page = [
            {name: value for name, value in document.items() if fields is None or name in fields}
            for document in found[start : start + limit]
        ]
        meta = {
            "api_version": "0.86.4",
            "time_stamp": "2025-11-21T12:00:00.000000",
            "total_doc": len(found),
            "max_limit": 1000,
        }
        return {"data": page, "errors": None, "meta": meta}

    def _send(self, status: int, content: Any) -> None:
        self._write(status, json.dumps(content).encode())

    def _write(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _matches(document: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    for name, text in query.items():
        if name.startswith("_"):
            continue
        if name == "chemsys":
            wanted = document.get("chemsys") in text.split(",")
        elif name == "batch_id_not_eq":
            wanted = document.get("batch_id") != text
        elif name in ("deprecated", "theoretical"):
            wanted = document.get(name) is (text.lower() == "true")
        elif name.endswith("_min"):
            wanted = document.get(name[:-4]) is not None and document[name[:-4]] >= float(text)
        elif name.endswith("_max"):
            wanted = document.get(name[:-4]) is not None and document[name[:-4]] <= float(text)
        else:
            raise ValueError(f"the test's server does not know the query parameter {name}")
        if not wanted:
            return False
    return True


@contextmanager
def materials_project_server(
    documents: Sequence[Mapping[str, Any]] | None = None, **heartbeat: Any
) -> Iterator[_Server]:
    """Serve documents on a free port of this machine; requests are noted in ``requests``."""
    beat = {
        "status": "OK",
        "time": "2025-11-21T12:00:00",
        "version": "0.86.4",
        "pymatgen": "2025.6.14",
        "db_version": DATABASE_VERSION,
        "suffix": "2025_09_25",
        "access_controlled_batch_ids": ["gnome_r2scan_statics"],
    }
    server = _Server(default_documents() if documents is None else documents, beat | heartbeat)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
