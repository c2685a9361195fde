from types import SimpleNamespace

from campaigns import make_tiny
from llzo_al.campaign import dimer_curves
from llzo_al.campaign.directory import CampaignDirectory
from llzo_al.campaign.final import _gather, shortfalls
from llzo_al.config.assessment import Stopping
from llzo_al.errors import StageError
from llzo_al.evaluation.errors import ErrorSummary


def errors(energy_meV_per_atom, force_meV_per_A):
    return ErrorSummary(
        n_frames=1,
        n_atoms=1,
        energy_abs_sum=energy_meV_per_atom / 1000,
        energy_square_sum=(energy_meV_per_atom / 1000) ** 2,
        force_abs_sum=3 * force_meV_per_A / 1000,
        force_square_sum=3 * (force_meV_per_A / 1000) ** 2,
        force_error_max_eV_per_A=force_meV_per_A / 1000,
    ).as_dict()


def campaign():
    stopping = Stopping(energy_rmse_meV_per_atom=5.0, force_rmse_meV_per_A=200.0)
    return SimpleNamespace(config=SimpleNamespace(stopping=stopping))


def test_only_md_frames_count():
    tests = {"dimers": errors(9000, 3000), "exploration: t-LLZO": errors(4, 100), "all": errors(9000, 3000)}
    assert shortfalls(campaign(), {"tests": tests}) == []
    assert shortfalls(campaign(), {"tests": {"dimers": errors(9000, 3000)}}) == []


def test_each_missed_limit_is_told():
    told = shortfalls(campaign(), {"tests": {"reference_md: t-LLZO": errors(15.14, 250)}})
    assert "energy RMSE 15.1 > 5 meV/atom" in told[0]
    assert "force RMSE 250 > 200 meV/Å" in told[1]
    assert "training.final_steps" in told[0]


def test_models_hold_the_last_potential_and_no_earlier_one(tmp_path):
    place = CampaignDirectory(tmp_path)
    place.models.mkdir()
    for name in ("model-0.pth", "model-3.pb"):
        (place.models / name).write_text("earlier")
    trained = [SimpleNamespace(index=index, file=tmp_path / f"{index}.pb") for index in range(2)]
    for model in trained:
        model.file.write_text(str(model.index))
    assert _gather(SimpleNamespace(directory=place), trained) == ["model-0.pb", "model-1.pb"]
    assert {path.name: path.read_text() for path in place.models.iterdir()} == {
        "model-0.pb": "0",
        "model-1.pb": "1",
    }


def test_a_comparison_with_dimers_that_failed_is_kept_until_it_succeeds(tmp_path, monkeypatch):
    campaign = make_tiny(tmp_path)
    campaign.directory.final.mkdir()
    models = [SimpleNamespace(token="a", file=tmp_path / "model")]
    monkeypatch.setattr(dimer_curves, "_labelled", lambda _: ["a dimer"])
    monkeypatch.setattr(dimer_curves, "as_key", list)

    def fails(*_):
        raise StageError("no memory is left")

    monkeypatch.setattr(dimer_curves, "compare_dimers", fails)
    assert dimer_curves.comparison_failure(campaign, models) == ""
    assert dimer_curves.compare_with_dimers(campaign, models) == []
    told = dimer_curves.comparison_failure(campaign, models)
    assert told == "the final models could not be compared with the labelled dimers: no memory is left"
    assert told in campaign.directory.log.read_text()
    assert dimer_curves.comparison_failure(campaign, [SimpleNamespace(token="b")]) == ""
    monkeypatch.setattr(dimer_curves, "compare_dimers", lambda *_: [{"pair": "Li-O"}])
    assert dimer_curves.compare_with_dimers(campaign, models) == [{"pair": "Li-O"}]
    assert dimer_curves.comparison_failure(campaign, models) == ""
