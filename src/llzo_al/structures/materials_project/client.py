"""Asking the Materials Project through its own client, mp-api."""

from __future__ import annotations

import warnings
from typing import Any

from llzo_al.errors import UserError
from llzo_al.structures.materials_project.key import WAYS_OUT, without_key
from llzo_al.structures.materials_project.query import SOURCE, Answer, Query

_DOCUMENTS_PER_REQUEST = 200


def reachable(endpoint: str, *, timeout_s: float) -> str | None:
    """Why the API cannot be reached, or None if it answers.

    mp-api itself asks without a time limit, so this is asked first.

    Parameters
    ----------
    endpoint
        Address of the API, with a slash at its end.
    timeout_s
        Longest wait for a connection and for the first byte of an answer.
    """
    import requests

    try:
        answer = requests.get(f"{endpoint}heartbeat", timeout=timeout_s)
    except requests.RequestException as error:
        return f"{endpoint} cannot be reached ({_short(error)})"
    if answer.status_code != 200:
        return f"{endpoint} answers its heartbeat with status {answer.status_code}"
    try:
        beat = answer.json()
    except ValueError:
        return f"{endpoint} answers its heartbeat with something that is not JSON"
    needed = ("version", "db_version", "access_controlled_batch_ids")
    absent = [name for name in needed if not isinstance(beat, dict) or name not in beat]
    if absent:
        return f"{endpoint} answers its heartbeat without {', '.join(absent)}"
    return None


def ask(query: Query, *, key: str | None, timeout_s: float) -> Answer:
    """Run a search through mp-api.

    Parameters
    ----------
    query
        What is asked.
    key
        Key of the API; a mirror may need none.
    timeout_s
        Longest wait for a first sign of the API.

    Raises
    ------
    UserError
        If the API cannot be reached, refuses, or does not answer in its format. The message holds no key.
    """
    wrong = reachable(query.endpoint, timeout_s=timeout_s)
    if wrong is not None:
        raise UserError(f"{SOURCE}: {wrong}; {WAYS_OUT}")
    import requests
    from mp_api.client import MPRester
    from mp_api.client.core.exceptions import MPRestError, MPRestWarning

    try:
        with warnings.catch_warnings():
            # A missing key, and pages of documentation at each search.
            warnings.simplefilter("ignore", MPRestWarning)
            with MPRester(
                key, endpoint=query.endpoint, use_document_model=False, mute_progress_bars=True
            ) as client:
                version = str(client.db_version)
                documents = client.materials.summary.search(**_criteria(query))
    except (MPRestError, requests.RequestException, LookupError, TypeError, ValueError) as error:
        # Not chained: what a library's error shows of its request need not be free of the key.
        raise UserError(
            f"{SOURCE}: {query.endpoint} did not answer the search for {query}: "
            f"{without_key(_short(error), key)}; {_hint(error)}"
        ) from None
    if not all(isinstance(document, dict) for document in documents):
        raise UserError(
            f"{SOURCE}: {query.endpoint} answered with something else than documents; is it the address of "
            "an "
            "API like the Materials Project's?"
        )
    ordered = sorted(documents, key=lambda document: str(document.get("material_id")))
    return Answer(database_version=version, documents=tuple(ordered))


def _criteria(query: Query) -> dict[str, Any]:
    criteria: dict[str, Any] = {
        "chemsys": list(query.chemical_systems),
        "num_sites": (1, query.atoms_max),
        "deprecated": False,
        "include_gnome": query.gnome,
        "all_fields": False,
        "fields": list(query.fields),
        "chunk_size": _DOCUMENTS_PER_REQUEST,
    }
    if query.energy_above_hull_max_eV_per_atom is not None:
        criteria["energy_above_hull"] = (0, query.energy_above_hull_max_eV_per_atom)
    if query.experimental_only:
        criteria["theoretical"] = False
    return criteria


def _hint(error: Exception) -> str:
    text = str(error)
    if "status code 401" in text or "status code 403" in text:
        return f"the key was refused or is missing: {WAYS_OUT}"
    if "invalid fields" in text:
        return "correct `fields`"
    return f"try again later, or {WAYS_OUT}"


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 300 else text[:300] + ' …'}"
