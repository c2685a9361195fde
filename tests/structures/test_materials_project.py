"""The Materials Project through mp-api's own client, against a server that answers in the API's format."""

import json

import numpy as np
import pytest
from pymatgen.core import SETTINGS
from pymatgen.io.ase import AseAtomsAdaptor

from llzo_al.config.initial_data import MaterialsProject
from llzo_al.dataset.splits import split_frames
from llzo_al.errors import UserError
from llzo_al.structures.library import load_structure
from llzo_al.structures.materials_project import client
from llzo_al.structures.materials_project.library import load_library, obstacle
from llzo_al.structures.materials_project.query import chemical_systems
from llzo_al.structures.sources import SourceContext, source_frames, source_report, source_runs
from materials_project_server import (
    DATABASE_VERSION,
    KEY,
    default_documents,
    document,
    materials_project_server,
    published_structures,
)

ELEMENTS = ("Li", "La", "Zr", "O")


@pytest.fixture(autouse=True, scope="module")
def _schema_once():
    """mp-api generates the same JSON schema anew for each field that is asked for; here it is kept."""
    from emmet.core.summary import SummaryDoc

    schema = SummaryDoc.model_json_schema()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SummaryDoc, "model_json_schema", lambda: schema)
        yield


@pytest.fixture
def server():
    with materials_project_server() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_key_of_this_machine(monkeypatch):
    monkeypatch.delenv("MP_API_KEY", raising=False)
    monkeypatch.delitem(SETTINGS, "PMG_MAPI_KEY", raising=False)


@pytest.fixture
def _key(monkeypatch):
    monkeypatch.setenv("MP_API_KEY", KEY)


def section(**values):
    return MaterialsProject.model_validate({"kind": "materials_project", "cache": "cache"} | values)


def load(source, base):
    return load_library(source, elements=ELEMENTS, base=base)


def ids(library):
    return {material.material_id for material in library.kept}


def context(base, seed=1):
    return SourceContext(elements=ELEMENTS, base=base, seed=seed)


def test_all_subsystems_are_asked_for_by_default():
    systems = chemical_systems(None, ELEMENTS)
    assert len(systems) == 4 + 6 + 4 + 1
    assert systems[0] == "La"
    assert "La-Li-O-Zr" in systems
    assert chemical_systems(["Zr-O", "Li"], ELEMENTS) == ("Li", "O-Zr")


@pytest.mark.usefixtures("_key")
def test_materials_come_through_the_client_with_their_ids_and_the_version(server, tmp_path):
    library = load(section(endpoint=server.endpoint), tmp_path)
    assert ids(library) == set(published_structures())
    assert library.database_version == DATABASE_VERSION
    path, query, headers = server.requests[-1]
    assert path == "/materials/summary/"
    assert headers["x-api-key"] == KEY
    assert headers["user-agent"].startswith("mp-api/")
    assert set(query["chemsys"].split(",")) == set(chemical_systems(None, ELEMENTS))
    assert query["batch_id_not_eq"] == "gnome_r2scan_statics"
    atoms = {each.material_id: each.atoms for each in library.kept}
    assert atoms["mp-2"].get_chemical_formula() == "Li2O"
    # Antifluorite: Li-O is the edge of the cube times sqrt(3)/4.
    assert atoms["mp-2"].get_distance(0, 2, mic=True) == pytest.approx(4.619 * 3**0.5 / 4, abs=1e-4)


@pytest.mark.usefixtures("_key")
@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (
            {"energy_above_hull_max_eV_per_atom": 0.05},
            {"mp-1", "mp-2", "mp-3", "mp-4", "mp-5", "mp-6", "mp-8"},
        ),
        ({"experimental_only": True}, {"mp-1", "mp-2", "mp-3", "mp-4", "mp-5", "mp-6", "mp-7"}),
        ({"atoms_max": 3}, {"mp-1", "mp-2", "mp-5", "mp-7"}),
        ({"chemical_systems": ["Zr-O"]}, {"mp-4", "mp-7", "mp-8"}),
    ],
)
def test_filters_are_the_databases_own(server, tmp_path, filters, expected):
    assert ids(load(section(endpoint=server.endpoint, **filters), tmp_path)) == expected


@pytest.mark.usefixtures("_key")
def test_many_answers_come_in_pages(server, tmp_path, monkeypatch):
    monkeypatch.setattr(client, "_DOCUMENTS_PER_REQUEST", 3)
    assert ids(load(section(endpoint=server.endpoint), tmp_path)) == set(published_structures())
    searches = [query for path, query, _ in server.requests if path == "/materials/summary/"]
    assert [query.get("_skip") for query in searches] == [None, "3", "6"]


@pytest.mark.usefixtures("_key")
def test_a_second_run_needs_neither_network_nor_key(server, tmp_path, monkeypatch):
    source = section(endpoint=server.endpoint)
    first = [frame.positions_A for frame in source_frames(source, context(tmp_path))]
    count = len(server.requests)
    server.shutdown()
    server.server_close()
    monkeypatch.delenv("MP_API_KEY")
    second = [frame.positions_A for frame in source_frames(source, context(tmp_path))]
    assert len(server.requests) == count
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    assert obstacle(source, elements=ELEMENTS, base=tmp_path) is None


@pytest.mark.usefixtures("_key")
def test_the_cache_is_shared_by_default_and_says_what_it_holds(server, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    source = section(endpoint=server.endpoint, cache=None)
    load(source, tmp_path / "one")
    load(source, tmp_path / "other")
    (path,) = (tmp_path / "home" / "llzo-al" / "materials_project").glob("*.json")
    kept = json.loads(path.read_text())
    assert kept["database_version"] == DATABASE_VERSION
    assert set(kept["material_ids"]) == set(published_structures())
    assert kept["query"]["chemical_systems"][0] == "La"
    assert sum(name == "/materials/summary/" for name, _, _ in server.requests) == 1


def damaged(path, how):
    text = path.read_text()
    if how == "half":
        path.write_text(text[: len(text) // 2])
    elif how == "entry":
        path.write_text(text.replace("0.25", "0.26", 1))
    elif how == "removed":
        data = json.loads(text)
        del data["entries"][2]
        path.write_text(json.dumps(data))
    elif how == "empty":
        path.write_text("")
    elif how == "version":
        path.write_text(text.replace(DATABASE_VERSION, "2019.01.01", 1))


@pytest.mark.parametrize("how", ["half", "entry", "removed", "empty", "version"])
def test_a_damaged_cache_is_asked_for_again_or_named(server, tmp_path, monkeypatch, how):
    source = section(endpoint=server.endpoint)
    monkeypatch.setenv("MP_API_KEY", KEY)
    load(source, tmp_path)
    (path,) = (tmp_path / "cache").glob("*.json")
    whole = path.read_text()
    damaged(path, how)
    library = load(source, tmp_path)
    assert ids(library) == set(published_structures())
    assert "damaged" in library.notes[0]
    assert json.loads(path.read_text())["entries"] == json.loads(whole)["entries"]
    damaged(path, how)
    server.needs_key = True
    monkeypatch.delenv("MP_API_KEY")
    with pytest.raises(UserError, match="damaged") as error:
        load(source, tmp_path)
    server.shutdown()
    server.server_close()
    for found in (str(error.value), obstacle(source, elements=ELEMENTS, base=tmp_path)):
        assert f"is damaged: {path}" in found
        if how == "entry":
            assert "entry 1 (mp-2)" in found


def test_without_a_key_both_ways_out_are_named(tmp_path):
    with pytest.raises(UserError) as error:
        load(section(), tmp_path)
    for found in (obstacle(section(), elements=ELEMENTS, base=tmp_path), str(error.value)):
        assert "no key" in found
        assert "MP_API_KEY" in found
        assert "folder:" in found


@pytest.mark.usefixtures("_key")
def test_without_a_network_both_ways_out_are_named(server, tmp_path):
    server.shutdown()
    server.server_close()
    source = section(endpoint=server.endpoint, timeout_s=2.0)
    with pytest.raises(UserError) as error:
        load(source, tmp_path)
    for found in (obstacle(source, elements=ELEMENTS, base=tmp_path), str(error.value)):
        assert "cannot be reached" in found
        assert "folder:" in found
        assert KEY not in found


def test_pymatgens_settings_hold_the_key_too(server, tmp_path, monkeypatch):
    monkeypatch.setitem(SETTINGS, "PMG_MAPI_KEY", KEY)
    load(section(endpoint=server.endpoint), tmp_path)
    assert server.requests[-1][2]["x-api-key"] == KEY


@pytest.mark.parametrize("key", ["short", KEY[:-1] + "\n", "0" * 33, KEY[:-1] + "!"])
def test_what_is_no_key_is_refused_and_not_repeated(server, tmp_path, monkeypatch, key):
    monkeypatch.setenv("MP_API_KEY", key)
    with pytest.raises(UserError, match="holds no key") as error:
        load(section(endpoint=server.endpoint), tmp_path)
    assert key.strip() not in str(error.value)
    assert server.requests == []


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ((401, b'{"message": "Invalid authentication credentials"}'), "the key was refused"),
        ((500, b"the key KEY is not welcome"), "status code 500"),
        ((200, b"<html>not an API</html>"), "did not answer"),
        ((200, b'{"data": ["text"], "meta": {"total_doc": 1}}'), "something else than documents"),
        ((200, b'{"meta": {"total_doc": 1}}'), "did not answer"),
    ],
)
def test_the_key_is_in_nothing_that_is_said_or_written(
    server, tmp_path, monkeypatch, capfd, caplog, broken, message
):
    monkeypatch.setenv("MP_API_KEY", KEY)
    source = section(endpoint=server.endpoint)
    server.broken = (broken[0], broken[1].replace(b"KEY", KEY.encode()))
    with pytest.raises(UserError, match=message) as error:
        load(source, tmp_path)
    chain = [error.value, error.value.__cause__]
    server.broken = None
    report = source_report(source, context(tmp_path))
    frames = list(source_frames(source, context(tmp_path)))
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    printed = capfd.readouterr()
    settings = [source.settings(), source.model_dump_json(), report.facts, report.lines]
    provenance = [frame.provenance for frame in frames]
    for text in (*written, printed.out, printed.err, caplog.text, *chain, *settings, *provenance):
        assert KEY not in str(text)


@pytest.mark.usefixtures("_key")
def test_a_heartbeat_without_its_parts_is_told(tmp_path):
    with materials_project_server() as server:
        del server.heartbeat["access_controlled_batch_ids"]
        with pytest.raises(UserError, match="heartbeat without access_controlled_batch_ids"):
            load(section(endpoint=server.endpoint), tmp_path)


def sodium_oxide():
    return published_structures()["mp-2"].copy().replace_species({"Li": "Na"}).as_dict()


def without(document_, name):
    return {key: value for key, value in document_.items() if key != name}


@pytest.mark.usefixtures("_key")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda each: without(each, "structure"), "mp-3: the answer lacks the fields structure"),
        (lambda each: without(each, "symmetry"), "mp-3: the answer lacks the fields symmetry"),
        (lambda each: each | {"structure": None}, "mp-3: the fields structure are empty"),
        (lambda each: each | {"structure": {"lattice": {}}}, "mp-3: its structure cannot be used"),
        (lambda each: each | {"structure": {"lattice": {}}, "material_id": None}, "document 0 of the answer"),
        (lambda each: each | {"structure": sodium_oxide()}, "mp-3: holds Na, outside the type map"),
    ],
)
def test_missing_fields_are_named_and_skipped_only_where_asked_for(tmp_path, change, message):
    documents = [change(each) if each["material_id"] == "mp-3" else each for each in default_documents()]
    with materials_project_server(documents) as server:
        with pytest.raises(UserError) as error:
            load(section(endpoint=server.endpoint), tmp_path)
        assert message in str(error.value)
        assert "skip_incomplete: true" in str(error.value)
        library = load(section(endpoint=server.endpoint, skip_incomplete=True), tmp_path)
    assert ids(library) == set(published_structures()) - {"mp-3"}
    assert len(library.skipped) == 1
    assert any("left out" in line for line in library.lines())


@pytest.mark.usefixtures("_key")
def test_nothing_found_and_foreign_elements_are_errors(server, tmp_path):
    with pytest.raises(UserError, match=r"holds no material for Li-Zr; at most 200 atoms"):
        load(section(endpoint=server.endpoint, chemical_systems=["Li-Zr"]), tmp_path)
    with pytest.raises(UserError, match="Na-Cl holds Na, Cl, outside the type map"):
        load(section(endpoint=server.endpoint, chemical_systems=["Na-Cl"]), tmp_path)
    with pytest.raises(UserError, match="listed twice"):
        load(section(endpoint=server.endpoint, chemical_systems=["Li-O", "O-Li"]), tmp_path)
    with pytest.raises(UserError, match=r"invalid fields requested.*correct `fields`"):
        load(section(endpoint=server.endpoint, fields=["energy_above_hul"]), tmp_path)


@pytest.mark.usefixtures("_key")
def test_the_same_structure_is_merged_and_the_merger_is_told(tmp_path):
    published = published_structures()
    swollen = published["mp-2"].copy().scale_lattice(published["mp-2"].volume * 1.2)
    conventional = AseAtomsAdaptor.get_structure(load_structure("Li2O", base=tmp_path))
    noisy = published["mp-4"].copy().perturb(0.005)
    distorted = published["mp-4"].copy().perturb(0.25)
    documents = [
        *default_documents(),
        document("mp-20", swollen, energy_above_hull=0.1),
        document("mp-21", conventional, energy_above_hull=0.2),
        document("mp-40", noisy, energy_above_hull=0.01),
        document("mp-41", distorted, energy_above_hull=0.02),
    ]
    with materials_project_server(documents) as server:
        library = load(section(endpoint=server.endpoint), tmp_path)
        assert ids(library) == {*published, "mp-41"}
        merged = {pair["material_id"]: pair["same_as"] for pair in library.merged}
        assert merged == {"mp-20": "mp-2", "mp-21": "mp-2", "mp-40": "mp-4"}
        loose = section(endpoint=server.endpoint, match_site_tolerance=0.3)
        assert ids(load(loose, tmp_path)) == set(published)
        every = section(endpoint=server.endpoint, deduplicate=False, scale_factors=[0.95, 1.0])
        frames = list(source_frames(every, context(tmp_path)))
    assert len(frames) == 2 * len(documents)
    groups = {}
    for frame in frames:
        details = frame.provenance.details
        groups.setdefault(frame.provenance.group, set()).add(details["material_id"])
    assert groups["materials_project/mp-2/0.96"] == {"mp-2", "mp-20", "mp-21"}
    assert any("mp-20 is the same structure as mp-2" in line for line in library.lines())
    split_frames(frames, share=0.1, seed=1)  # one kind for each group


@pytest.mark.usefixtures("_key")
def test_lattice_constants_are_scaled_from_0_8_to_1_2(server, tmp_path):
    source = section(endpoint=server.endpoint, chemical_systems=["Li-O"])
    frames = list(source_frames(source, context(tmp_path)))
    edges = [np.linalg.norm(frame.cell_A[0]) * 2**0.5 / 4.619 for frame in frames]
    assert edges == pytest.approx(np.linspace(0.8, 1.2, 9), abs=1e-6)
    first = frames[0].provenance
    assert first.source == "materials_project"
    assert first.kind == "Li2O mp-2"
    assert first.details["database_version"] == DATABASE_VERSION
    assert first.details["scale_factor"] == 0.8
    assert first.details["energy_above_hull"] == 0.0
    assert len({frame.provenance.group for frame in frames}) == 9
    volumetric = section(
        endpoint=server.endpoint, chemical_systems=["Li-O"], volume_factors=[0.8, 1.2], rattled_copies=1
    )
    frames = list(source_frames(volumetric, context(tmp_path)))
    volumes = [abs(np.linalg.det(frame.cell_A)) / (4.619**3 / 4) for frame in frames]
    assert volumes == pytest.approx([0.8, 0.8, 1.2, 1.2], abs=1e-5)
    assert frames[0].provenance.details["volume_factor"] == 0.8
    assert frames[0].provenance.group == frames[1].provenance.group


@pytest.mark.usefixtures("_key")
def test_near_duplicates_share_a_split(server, tmp_path):
    source = section(
        endpoint=server.endpoint, scale_factors=[0.9, 0.901, 1.0], rattled_copies=3, strained_copies=2
    )
    frames = list(source_frames(source, context(tmp_path)))
    assert len(frames) == 8 * 3 * 6
    splits = split_frames(frames, share=0.3, seed=5)
    of_scale = {}
    for frame in frames:
        details = frame.provenance.details
        place = (details["material_id"], round(details["scale_factor"], 1))
        of_scale.setdefault(place, set()).add(splits[frame.provenance.group])
    assert all(len(kinds) == 1 for kinds in of_scale.values())
    assert {kind for kinds in of_scale.values() for kind in kinds} == {"training", "held-out"}


@pytest.mark.usefixtures("_key")
def test_cells_and_their_repetition(server, tmp_path):
    def atoms_of(**values):
        source = section(endpoint=server.endpoint, chemical_systems=["Li-O"], scale_factors=[1.0], **values)
        (frame,) = source_frames(source, context(tmp_path))
        return frame

    assert atoms_of().n_atoms == 3
    assert atoms_of(cell="conventional").n_atoms == 12
    assert atoms_of(cell="primitive").n_atoms == 3
    assert atoms_of(supercell=[2, 1, 1]).n_atoms == 6
    long = atoms_of(cell="conventional", length_min_A=9.0)
    assert long.n_atoms == 12 * 8
    assert atoms_of(cell="conventional", length_min_A=4.619).n_atoms == 12


@pytest.mark.usefixtures("_key")
def test_relaxations_share_the_split_of_their_material(server, tmp_path):
    source = section(
        endpoint=server.endpoint, scale_points=2, relax=True, relax_steps_max=7, relax_keep_every=3
    )
    runs = source_runs(source, context(tmp_path))
    assert {run.kind for run in runs} == {
        frame.provenance.kind for frame in source_frames(source, context(tmp_path))
    }
    assert runs[0].steps_max == 7
    assert runs[0].keep_every == 3
    groups = {frame.provenance.group for frame in source_frames(source, context(tmp_path))}
    assert {run.group for run in runs} == groups
    assert source_runs(section(endpoint=server.endpoint), context(tmp_path)) == []


@pytest.mark.usefixtures("_key")
def test_frames_depend_on_nothing_but_themselves(server, tmp_path):
    def positions(**values):
        source = section(endpoint=server.endpoint, scale_factors=[0.9, 1.0], rattled_copies=1, **values)
        return {
            (frame.provenance.group, frame.provenance.details["copy"]): frame.positions_A
            for frame in source_frames(source, context(tmp_path))
        }

    everything, oxide = positions(), positions(chemical_systems=["Li-O"])
    assert len(everything) == 8 * 4
    assert all(np.array_equal(everything[name], oxide[name]) for name in oxide)


def test_a_range_turned_round_is_told():
    with pytest.raises(ValueError, match=r"scale_min: is 1\.2; must be smaller than scale_max \(0\.8\)"):
        section(scale_min=1.2, scale_max=0.8)
    with pytest.raises(ValueError, match="files hold no such property"):
        section(folder="mine", experimental_only=True)
