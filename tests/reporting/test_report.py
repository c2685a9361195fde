from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from pydantic import ValidationError
from reporting_helpers import empty_facts, full_data, full_facts
from rich.console import Console

from llzo_al.errors import StageError
from llzo_al.reporting import figures
from llzo_al.reporting.details import detail_tables
from llzo_al.reporting.exploration import ended_early, explored, unlisted
from llzo_al.reporting.facts import CampaignFacts, IterationFacts, read_facts
from llzo_al.reporting.page import render, write_report
from llzo_al.reporting.summary import columns, duration, headline, number, rows
from llzo_al.reporting.table import results, table

VOID = {"meta", "br", "hr", "img", "link", "input"}
NASTY = "<script>alert('x')</script> & \"q\" $\\frac{1$ {{ 7*7 }}"


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects text, ids and links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        values = dict(attrs)
        if "id" in values:
            self.ids.append(values["id"])
        self.links += [values[name] for name in ("src", "href", "xlink:href") if name in values]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def terminal(facts: CampaignFacts) -> str:
    console = Console(width=140, record=True, force_terminal=False, file=io.StringIO())
    console.print(table(facts))
    return console.export_text()


def test_json_goes_out_and_comes_back(tmp_path):
    facts = full_facts()
    page = write_report(facts, tmp_path / "campaign" / "report")
    assert page == tmp_path / "campaign" / "report" / "index.html"
    assert sorted(path.name for path in page.parent.iterdir()) == ["index.html", "report.json"]
    assert read_facts(page.parent / "report.json") == facts
    data = json.loads((page.parent / "report.json").read_text())
    assert data["iterations"][2]["coverage"]["elements"]["Zr"]["n_components"] == 11
    assert data["iterations"][0]["errors"]["held_out"]["dimers"]["virial_rmse_meV_per_atom"] == 12.5


def test_the_page_is_whole_and_needs_nothing_else():
    html = render(full_facts())
    page = Page(html)
    assert page.tags.count("svg") == 5
    assert len(page.ids) == len(set(page.ids))
    assert all(link.startswith("#") for link in page.links)
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert set(re.findall(r"url\(#([^)]+)\)", html)) <= set(page.ids)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert "@import" not in html
    outside = set(re.findall(r"https?://[^\s\"'<]+", html))
    assert outside <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_the_page_says_what_it_must():
    text = " ".join(Page(render(full_facts())).text.split())
    for part in (
        "Converged: every threshold is met",
        "coverage ratio 0.981 of at least 0.95",
        "Classical reference, not DFT.",
        "N = 20 cells along each axis",
        "Fit: the training set's environments, columns standardised",
        "Edges: equal cells over the common range",
        "low by construction",
        "Li-O at 1.02 Å, closer than 1.2 Å",
        "1 × crash, 1 × not converged",
        "models/model-0.pb",
        "2100 MB",
        "deepmd-kit 3.2.0",
        "coverage / ceiling",
        "pair_coeff * * Li La Zr O",
        "final/dataset/training.extxyz",
        "seed7",
        "cutoff_A6.0",
        "steps600",
        "doi:10.1038/s41524-024-01240-7",
    ):
        assert part in text


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_a_terminal(width):
    facts = full_facts(12)
    console = Console(width=width, record=True, force_terminal=False, file=io.StringIO())
    console.print(table(facts, details=False))
    lines = console.export_text().splitlines()
    assert "…" not in "".join(lines)
    (last,) = (line for line in lines if line.split()[:1] == ["11"])
    assert " ".join(last.split()) == "11 340 0.978 O 0.964 200 ✗ 14 ✗ 2 of 2 24 converged"


@pytest.mark.parametrize("width", [80, 120])
def test_the_details_fit_a_terminal(width):
    data = full_data()
    data["iterations"][0]["times"]["train"]["wall_s"] = 90000.0
    data["iterations"][1]["coverage"]["elements"].pop("Zr")
    data |= {
        "initial_times": {"structures": {"wall_s": 3.0}, "label": {"wall_s": 7200.0, "engine_s": 7000.0}},
        "final_times": {"train": {"wall_s": 180000.0}, "test": {"wall_s": 3600.0}},
    }
    console = Console(width=width, record=True, force_terminal=False, file=io.StringIO())
    console.print(*detail_tables(CampaignFacts.model_validate(data)), sep="\n")
    text = console.export_text()
    assert "…" not in text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "wall time of each stage, summed over tasks (h)" in lines
    assert "initial 0.0 – – – 2.0 – 2.0" in lines
    assert "0 – 25.0 0.0 0.0 0.0 – 25.0" in lines
    assert "final – 50.0 – 1.0 – – 51.0" in lines
    assert "1 0.842 0.837 – 0.825 0.850" in lines
    assert "dimers 60 2 42 1.4" in lines
    assert not list(detail_tables(empty_facts()))


def test_a_final_potential_that_misses_a_limit_is_in_the_verdict():
    missed = "the final potential's force RMSE 160 > 150 meV/Å"
    data = full_data()
    data["final"]["shortfalls"] = [missed]
    facts = CampaignFacts.model_validate(data | {"reasons": [missed, *data["reasons"]]})
    words = "The loop converged, but the final potential misses a limit"
    html = render(facts)
    assert words in Page(html).text
    assert 'class="verdict not-converged"' in html
    assert 'class="verdict converged"' in render(full_facts())
    assert words in terminal(facts)
    assert missed in terminal(facts)
    data["final"]["shortfalls"] = [missed, missed]
    facts = CampaignFacts.model_validate(data | {"status": "not converged"})
    assert "Not converged, and the final potential misses 2 limits" in terminal(facts)


def test_what_a_finished_campaign_was_done_without_is_said():
    failed = "iteration 0: MD run 1: LAMMPS: lost it"
    facts = full_facts().model_copy(update={"failures": (failed,)})
    for text in (Page(render(facts)).text, terminal(facts)):
        assert "done without" in text
        assert failed in text
    console = Console(width=140, record=True, force_terminal=False, file=io.StringIO())
    console.print(table(facts, details=False))
    assert failed not in console.export_text()
    running = empty_facts(failures=(failed,), reasons=(failed,))
    assert "done without" not in terminal(running)
    assert terminal(running).count(failed) == Page(render(running)).text.count(failed) == 1


def test_what_is_not_in_the_report_is_said():
    words = "the final models could not be compared with the labelled dimers: no"
    facts = full_facts().model_copy(update={"left_out": (words,)})
    assert f"Not in this report: {words}" in " ".join(Page(render(facts)).text.split())
    assert f"not in this report: {words}" in terminal(facts)


def test_losses_and_the_choice_stand_below_the_iterations():
    data = full_data()
    data["iterations"][1] |= {
        "losses": ["2 of 4 models trained: the others failed"],
        "candidates": {"uncovered": 16, "limit": 60, "unphysical": 1},
    }
    facts = CampaignFacts.model_validate(data)
    text = Page(render(facts)).text
    assert text.count("2 of 4 models trained") == text.count("Warning:") == 1
    assert "16 of 77 candidate frames chosen; turned away: 60 over selection.max_frames, 1 unphysical" in text
    assert "iteration 1: warning: 2 of 4 models trained: the others failed" in terminal(facts)


def test_runs_that_the_guard_ended_and_those_that_failed_are_told_apart():
    data = full_data()
    data["iterations"][1]["md"] |= {"runs": 3, "stable": 1}
    data["iterations"][1]["md"]["endings"][1] |= {
        "ended": "its task failed",
        "finished": False,
        "time_ps": None,
    }
    facts = CampaignFacts.model_validate(data)
    counts = [(row.completed, row.guarded, row.failed) for row in explored(facts)]
    assert counts[:4] == [(1, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1)]
    assert unlisted(facts) == [(1, 1)]
    text = Page(render(facts)).text
    assert "Iteration 1: 1 more did not finish" in text
    assert "its task failed" in text
    assert unlisted(full_facts()) == []


def test_the_initial_data_and_the_final_training_have_their_times():
    data = full_data() | {
        "initial_times": {"reference MD": {"wall_s": 50.0, "engine_s": 50.0}},
        "final_times": {"train": {"wall_s": 200.0, "engine_s": 150.0}},
    }
    text = " ".join(Page(render(CampaignFacts.model_validate(data))).text.split("Time", 1)[1].split())
    assert "initial datareference MD50 s50 s" in text
    assert "iterationstrain4 min 45 s4 min 00 s" in text
    assert "finaltrain3 min 20 s2 min 30 s" in text
    assert "sum11 min 58 s9 min 53 s" in text


def test_where_the_results_lie_and_how_to_use_them(tmp_path):
    potential, lammps, ase, others, data = results(full_facts(), tmp_path)
    assert potential == f"potential: {tmp_path}/models/model-0.pb"
    assert "pair_style deepmd model-0.pb; pair_coeff * * Li La Zr O" in lammps
    assert 'DP("model-0.pb")' in ase
    assert others.endswith("model-1.pb")
    assert data.endswith(str(tmp_path / "final" / "dataset"))
    assert results(empty_facts(), tmp_path) == []


def test_exploration_is_summed_up_by_temperature():
    facts = full_facts()
    first, second, *rest = explored(facts)
    assert (first.iteration, first.temperature_K, first.runs, first.completed) == (0, 600.0, 1, 1)
    assert (second.temperature_K, second.completed, second.time_ps) == (1200.0, 0, 0.35)
    assert len(rest) == 4
    ((iteration, run),) = ended_early(facts)
    assert (iteration, run.run) == (0, "t-LLZO/1200K/0")


def test_no_banner_for_first_principles():
    assert "not DFT" not in render(empty_facts())
    assert "not from DFT" not in terminal(empty_facts())


def test_text_is_escaped_everywhere():
    data = full_data()
    data |= {"campaign": NASTY, "method": NASTY, "reasons": [NASTY], "versions": {NASTY: NASTY}}
    iteration = data["iterations"][0]
    iteration["errors"]["held_out"][NASTY] = iteration["errors"]["held_out"]["dimers"]
    iteration["errors"]["audit"][NASTY] = iteration["errors"]["held_out"]["dimers"]
    iteration["coverage"]["elements"][NASTY] = iteration["coverage"]["elements"]["Li"]
    iteration["coverage"] |= {"fit_set": NASTY, "edges": NASTY, "remarks": [NASTY]}
    iteration["times"][NASTY] = {"wall_s": 3.0}
    iteration["decision"]["reasons"] = [NASTY]
    iteration["md"]["endings"][0] |= {"run": NASTY, "ended": NASTY}
    data["totals"] |= {"failures": {NASTY: 1}, "programs": {NASTY: 1}, "trainings": {NASTY: 1}}
    data["learning_curves"][NASTY] = [{"step": 1, "force_rmse_meV_per_A": 2.0}]
    data["final"]["model_files"] = [NASTY]
    facts = CampaignFacts.model_validate(data)
    html = render(facts)
    page = Page(html)
    assert "script" not in page.tags
    assert "<script" not in html
    assert "{{ 7*7 }}" in page.text
    assert NASTY in page.text
    assert NASTY in terminal(facts)


def test_an_empty_campaign():
    facts = empty_facts()
    page = Page(render(facts))
    assert "No iteration has been finished yet." in page.text
    assert "svg" not in page.tags
    assert "no iteration has been finished yet" in terminal(facts)
    assert "under way" in terminal(facts)


@pytest.mark.parametrize(
    "iteration",
    [
        {"iteration": 0},
        {"iteration": 0, "coverage": {"bins": 20, "fit_set": "f", "edges": "e"}},
        {
            "iteration": 0,
            "coverage": {"bins": 2, "fit_set": "f", "edges": "e", "elements": {"Li": {"coverage": 0.5}}},
        },
        {"iteration": 0, "errors": {"held_out": {"a": {"n_frames": 0}}}},
        {"iteration": 0, "errors": {"held_out": {"a": {"n_frames": 1, "force_rmse_meV_per_A": 0.0}}}},
        {"iteration": 0, "errors": {"audit": {"a": {"n_frames": 1}}}},
        {"iteration": 0, "md": {"runs": 0, "stable": 0}},
        {"iteration": 0, "deviation": {}},
        {"iteration": 0, "labels": {}},
        {"iteration": 0, "times": {"train": {}}},
        {"iteration": 0, "times": {"train": {"engine_s": 1.0}, "label": {"wall_s": 0.0}}},
        {"iteration": 0, "decision": {"converged": False}},
    ],
    ids=str,
)
@pytest.mark.parametrize("final", [None, {}])
def test_missing_values(iteration, final):
    facts = empty_facts(iterations=(iteration,), final=final, learning_curves={"a": [], "b": [{"step": 0}]})
    Page(render(facts))
    assert "–" in terminal(facts)


def test_numbers_that_are_not_finite_were_not_measured(tmp_path):
    iteration = {
        "iteration": 0,
        "errors": {"held_out": {"a": {"n_frames": 1, "force_rmse_meV_per_A": float("nan")}}},
    }
    facts = empty_facts(iterations=(iteration,), thresholds={"force_rmse_meV_per_A": float("inf")})
    assert facts.iterations[0].errors.held_out["a"].force_rmse_meV_per_A is None
    page = write_report(facts, tmp_path)
    assert read_facts(tmp_path / "report.json") == facts
    assert "nan" not in Page(page.read_text()).text.lower().split()


def test_the_summary_tells_met_from_missed():
    facts = full_facts()
    titles = [column.title for column in columns(facts.thresholds)]
    first, *_, last, final = rows(facts)
    assert all(len(row.cells) == len(row.met) == len(titles) for row in rows(facts))
    ratio, force, stable, outcome = (
        titles.index(name) for name in ("coverage / ceiling", "force RMSE", "stable MD runs", "outcome")
    )
    assert (first.met[ratio], last.met[ratio]) == (False, True)
    assert (first.met[stable], last.met[stable]) == (False, True)
    assert first.cells[stable] == "1 of 2"
    assert (first.cells[force], final.cells[force]) == ("333", "140")
    assert (first.met[force], final.met[force]) == (False, True)
    assert [row.cells[outcome] for row in rows(facts)] == ["goes on", "goes on", "converged", "–"]
    stopped = facts.model_copy(update={"status": "not converged", "iterations": facts.iterations[:2]})
    assert [row.cells[outcome] for row in rows(stopped)][:2] == ["goes on", "stops"]
    text = terminal(facts)
    assert "333 ✗" in text
    assert "≤ 150" in text
    assert "0.978" in text


def test_the_headline_is_that_of_md_frames():
    kinds = {"a": {"n_frames": 1}, "all": {"n_frames": 3}, "all MD": {"n_frames": 2}}

    def of(*names):
        errors = {"held_out": {name: kinds[name] for name in names}}
        found = headline(IterationFacts(iteration=0, errors=errors).errors)
        return found and found.n_frames

    assert of("a", "all", "all MD") == 2
    assert of("a", "all") == 3
    assert of("a") == 1
    assert of() is None


def test_figures_are_svg_with_the_data_in_them():
    facts = full_facts()
    for draw in (
        figures.coverage_figure,
        figures.errors_figure,
        figures.frames_figure,
        figures.times_figure,
        figures.learning_figure,
    ):
        svg = draw(facts)
        assert ElementTree.fromstring(svg).tag.endswith("svg")
        assert svg == draw(facts)
        assert draw(empty_facts()) is None
    assert "threshold" in figures.errors_figure(facts)
    assert "threshold" not in figures.errors_figure(
        facts.model_copy(update={"thresholds": empty_facts().thresholds})
    )
    assert ">final<" in figures.errors_figure(facts)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"extra": 1}, "extra"), ({"status": "maybe"}, "status"), ({"format_version": 2}, "format_version")],
)
def test_facts_are_strict(change, message):
    with pytest.raises(ValidationError, match=message):
        empty_facts(**change)


@pytest.mark.parametrize("content", [None, "{", '{"campaign": 1}'])
def test_a_report_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "report.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(StageError, match=r"report\.json: cannot be read"):
        read_facts(path)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.04, "0.0 s"),
        (9.9, "9.9 s"),
        (9.97, "10 s"),
        (59.7, "1 min 00 s"),
        (545, "9 min 05 s"),
        (12000, "3 h 20 min"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (None, 3, "–"),
        (0.9504, 3, "0.950"),
        (1234.5, None, "1234"),
        (12.34, None, "12.3"),
        (0.01234, None, "0.0123"),
    ],
)
def test_numbers(value, digits, text):
    assert number(value, digits) == text


def test_the_page_says_which_program_computed_the_labels():
    def told(programs):
        page = render(empty_facts(totals={"programs": programs}))
        return page.split("<dt>labels</dt><dd>")[1].split("</dd>")[0]

    assert told({}) == told({"": 12}) == "nobody"
    assert told({"VASP 6.4.2": 9, "": 2}) == "nobody, computed by VASP 6.4.2 (9), an unknown program (2)"


def test_the_page_says_what_the_models_were_trained_with():
    page = render(empty_facts(totals={"trainings": {"pytorch on NVIDIA H200": 6, "tensorflow on CPU": 2}}))
    assert "trained with pytorch on NVIDIA H200 (6), tensorflow on CPU (2)" in page
    assert "trained with" not in render(empty_facts())
