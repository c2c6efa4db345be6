"""What an evaluation of a classifier writes and tells, with MONAI's own evaluators."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.engines import EnsembleEvaluator, SupervisedEvaluator
from monai.transforms import Activationsd, Compose, MeanEnsembled
from PIL import Image
from torch import Tensor, nn

from monai_ext.handlers import ClassificationResults
from monai_ext.handlers.classification_files import PICTURES, TABLES
from monai_ext.handlers.classification_results import GatheredPredictions, as_probabilities

LOGITS = [[2.0, -2.0], [1.0, 0.0], [-0.5, 0.5], [0.5, 0.0], [-1.0, 1.0], [-3.0, 3.0]]
LABELS = [0, 0, 0, 1, 1, 1]
GROUPS = ["p0", "p1", "p1", "p2", "p3", "p4"]
OPTIONS: dict[str, Any] = {"class_names": ["healthy", "ill"], "positive_class": "ill"}


class Looked(nn.Module):
    """Gives the logits that are written into the image."""

    def forward(self, image: Tensor) -> Tensor:
        return image[:, 0, 0, :2]


def evaluator(
    results: ClassificationResults | Sequence[Any],
    *,
    decollate: bool = True,
    postprocessing: Any = None,
    labels: Sequence[int] = LABELS,
    dtype: torch.dtype = torch.long,
) -> SupervisedEvaluator:
    items: list[Mapping[str, Any]] = []
    for row, label in zip(LOGITS, labels, strict=True):
        image = torch.zeros(1, 2, 2)
        image[0, 0] = torch.tensor(row)
        items.append({"image": image, "label": torch.tensor(label, dtype=dtype)})
    return SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(items), batch_size=4),
        network=Looked(),
        postprocessing=postprocessing,
        decollate=decollate,
        val_handlers=[results] if isinstance(results, ClassificationResults) else list(results),
    )


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


SOFTMAX = Activationsd(keys="pred", softmax=True)


@pytest.mark.parametrize(("decollate", "postprocessing"), [(True, None), (False, None), (True, Compose([SOFTMAX]))])
def test_metrics_are_those_of_all_batches_decollated_or_not_logits_or_probabilities(
    decollate: bool, postprocessing: Any
) -> None:
    engine = evaluator(ClassificationResults(**OPTIONS), decollate=decollate, postprocessing=postprocessing)
    engine.run()
    metrics = engine.state.metrics
    assert metrics["auc"] == pytest.approx(8 / 9)  # of nine pairs, the ill 4th image is below the healthy 3rd
    assert metrics["accuracy"] == pytest.approx(4 / 6)
    assert metrics["sensitivity"] == pytest.approx(2 / 3)
    assert all(isinstance(value, float) for value in metrics.values())
    assert not [name for name in metrics if name.endswith("_low")]  # nothing is resampled where nothing is written


def test_a_second_evaluation_forgets_the_first() -> None:
    results = ClassificationResults(**OPTIONS)
    engine = evaluator(results)
    engine.run()
    engine.run()
    assert results.evaluation is not None
    assert len(results.evaluation.predictions.labels) == 6


def test_tables_and_pictures_are_written(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(6)]
    results = ClassificationResults(
        tmp_path / "test", **OPTIONS, groups=GROUPS, names=names, n_bootstrap=200, details={"data": "made up"}
    )
    engine = evaluator(results)
    engine.run()
    assert {file.name for file in (tmp_path / "test").iterdir()} == {*TABLES, *(f"{name}.png" for name in PICTURES)}
    content = json.loads((tmp_path / "test" / "metrics.json").read_text())
    assert content["data"] == "made up"
    assert (content["images"], content["groups"]) == (6, 5)
    assert content["confusion"] == [[2, 1], [1, 2]]
    assert content["metrics"]["auc"]["low"] == engine.state.metrics["auc_low"] <= 8 / 9
    rows = read_csv(tmp_path / "test" / "predictions.csv")
    assert list(rows[0]) == ["index", "name", "group", "label", "predicted", "probability_healthy", "probability_ill"]
    assert [row["predicted"] for row in rows] == ["healthy", "healthy", "ill", "healthy", "ill", "ill"]
    assert float(rows[0]["probability_ill"]) == pytest.approx(1 / (1 + torch.tensor(4.0).exp().item()))
    (auc,) = [row for row in read_csv(tmp_path / "test" / "metrics.csv") if row["metric"] == "auc"]
    assert float(auc["high"]) == engine.state.metrics["auc_high"]
    assert [row["class"] for row in read_csv(tmp_path / "test" / "per_class.csv")] == ["healthy", "ill"]
    with Image.open(tmp_path / "test" / "roc.png") as picture:
        assert min(picture.size) > 300


def test_names_are_told_only_where_they_are_given(tmp_path: Path) -> None:
    evaluator(ClassificationResults(tmp_path, **OPTIONS, n_bootstrap=0)).run()
    assert list(read_csv(tmp_path / "predictions.csv")[0])[:3] == ["index", "label", "predicted"]
    assert (tmp_path / "metrics.csv").read_text().splitlines()[1].endswith(",,")  # no interval


def test_the_threshold_is_chosen_on_validation_and_used_on_test(tmp_path: Path) -> None:
    validation = ClassificationResults(tmp_path, **OPTIONS, threshold="choose", n_bootstrap=0)
    engine = evaluator(validation)
    engine.run()
    # The ill have 1.00, 0.88, 0.38, the healthy 0.73, 0.27, 0.02: between 0.38 and 0.27 all ill and two of three
    # healthy images are called right, between 0.88 and 0.73 two of three and all. 0.32 is nearer to 0.5.
    chosen = engine.state.metrics["threshold"]
    assert chosen == pytest.approx((0.2689 + 0.3775) / 2, abs=1e-4)
    assert engine.state.metrics["sensitivity"] == 1
    for threshold in (validation, tmp_path / "metrics.json", str(tmp_path / "metrics.json"), chosen):
        test = evaluator(ClassificationResults(**OPTIONS, threshold=threshold), labels=[0, 1, 0, 0, 1, 1])
        test.run()
        assert test.state.metrics["threshold"] == chosen
        assert test.state.metrics["sensitivity"] == pytest.approx(2 / 3)
        assert test.state.metrics["specificity"] == pytest.approx(1 / 3)


def test_results_without_excluded_images_stand_beside(tmp_path: Path) -> None:
    results = ClassificationResults(
        tmp_path, **OPTIONS, groups=GROUPS, names=list("abcdef"), exclude=["c"], n_bootstrap=50
    )
    engine = evaluator(results)
    engine.run()
    assert engine.state.metrics["auc"] == pytest.approx(8 / 9)
    assert engine.state.metrics["auc_without_excluded"] == 1
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content["without_excluded"]["images"] == 5
    assert content["without_excluded"]["metrics"]["auc"]["value"] == 1
    assert [row["excluded"] for row in read_csv(tmp_path / "predictions.csv")] == list("001000")


def test_an_ensemble_is_judged_by_its_mean() -> None:
    results = ClassificationResults(**OPTIONS)
    single = evaluator(ClassificationResults(**OPTIONS))
    mean = Compose([Activationsd(keys=["a", "b"], softmax=True), MeanEnsembled(keys=["a", "b"], output_key="pred")])
    engine = EnsembleEvaluator(
        device=torch.device("cpu"),
        val_data_loader=single.data_loader,
        networks=[Looked(), Looked()],
        pred_keys=["a", "b"],
        postprocessing=mean,
        val_handlers=[results],
    )
    engine.run()
    assert engine.state.metrics["auc"] == pytest.approx(8 / 9)


def test_a_tracker_gets_pictures_and_tables(tmp_path: Path) -> None:
    class Tracker:
        pictures: list[str] = []  # noqa: RUF012
        files: list[str] = []  # noqa: RUF012

        def log_picture(self, path: Path, *, name: str) -> None:
            self.pictures.append(name)
            assert path.is_file()

        def log_artifact(self, path: Path, *, folder: str) -> None:
            self.files.append(path.name)

        def log_json(self, content: dict[str, Any], *, file: str) -> None:
            assert content["metrics"]["auc"]["value"] > 0
            self.files.append(Path(file).name)

    evaluator(ClassificationResults(tmp_path, **OPTIONS, n_bootstrap=0, tracker=Tracker())).run()  # type: ignore[arg-type]
    assert Tracker.pictures == list(PICTURES)
    assert tuple(Tracker.files) == TABLES


def test_shares_of_two_processes_are_put_back_into_the_order_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    gathered = GatheredPredictions()
    gathered.update({"pred": torch.tensor([[0.0, 0.0], [2.0, 2.0], [4.0, 4.0]]), "label": torch.tensor([0, 2, 4])})

    def gather(shares: list[Any], own: Tensor) -> None:
        shares[0], shares[1] = own, torch.tensor([1, 3, 0]) if own.dim() == 1 else torch.full((3, 2), 7.0)

    monkeypatch.setattr("monai_ext.handlers.classification_results.process_count", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    predictions, labels = gathered.all(5)  # of five images, the sampler repeats the first for the second process
    assert labels.tolist() == [0, 1, 2, 3, 4]
    assert predictions[:, 0].tolist() == [0, 7, 2, 7, 4]
    assert gathered.all(3)[1].tolist() == [0, 2, 4]  # every process has seen all three


def test_logits_are_recognised_and_rounded_probabilities_kept() -> None:
    logits = torch.tensor([[0.0, 0.0], [0.5, 0.5]])
    assert torch.equal(as_probabilities(logits), torch.full((2, 2), 0.5, dtype=torch.float64).float())
    shares = torch.tensor([[0.3333, 0.6666]])
    assert torch.equal(as_probabilities(shares), shares)
    assert as_probabilities(torch.tensor([[torch.nan, 1.0]])).isnan().all()
    rounded = torch.tensor([[0.9, 0.1], [0.75, 0.25]], dtype=torch.bfloat16).double()
    assert abs(rounded[0].sum() - 1) > 1e-3
    torch.testing.assert_close(as_probabilities(rounded), rounded / rounded.sum(dim=1, keepdim=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": GROUPS[:5]}, "6 were judged, 5 names or groups are given"),
        ({"names": list("abcdefg")}, "6 were judged, 7 names or groups"),
        ({"exclude": [6]}, "6 were judged, no names or groups"),
        ({"threshold": "missing.json"}, "No threshold can be read from missing.json"),
        ({"threshold": ClassificationResults(**OPTIONS)}, "has not run yet: run it before"),
    ],
)
def test_what_does_not_fit_the_images_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluator(ClassificationResults(**OPTIONS, **options)).run()


def test_unknown_images_to_exclude_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="1 images to exclude are not among the 2 names of the evaluated images: 'z'"):
        ClassificationResults(**OPTIONS, names=["a", "b"], exclude=["z", "a"])


def test_outputs_without_predictions_or_with_maps_are_refused() -> None:
    gathered = GatheredPredictions()
    with pytest.raises(ValueError, match="nothing to judge"):
        gathered.all()
    with pytest.raises(ValueError, match="it has image"):
        gathered.update({"image": 1})
    with pytest.raises(ValueError, match="'pred' in the evaluator's output; an item has none"):
        gathered.update([{"label": 1}])
    with pytest.raises(ValueError, match=r"\(2, 1, 3, 3\) and \(2,\)"):
        gathered.update({"pred": torch.zeros(2, 1, 3, 3), "label": torch.zeros(2)})
