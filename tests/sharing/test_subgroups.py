"""Results by subgroup: each judged alone, small ones named only, columns of persons refused."""

import numpy as np
import pytest

from monai_ext.errors import BundleAuditError
from monai_ext.sharing.subgroups import measure_subgroups

TASK = {"class_names": ["no", "yes"], "positive_class": "yes", "threshold": 0.5}


def _cases(count: int = 80) -> tuple[np.ndarray, list[int], list[str]]:
    """Of the first half every image is called rightly, of the second half none; four images a patient."""
    labels = [number // 4 % 2 for number in range(count)]
    right = [0.9 if label else 0.1 for label in labels]
    share = np.array([p if number < count // 2 else 1 - p for number, p in enumerate(right)])
    return np.stack([1 - share, share], axis=1), labels, [f"p{number // 4}" for number in range(count)]


def test_each_subgroup_is_judged_alone() -> None:
    probabilities, labels, groups = _cases()
    columns = {"scanner": ["A"] * 40 + ["B"] * 40, "sex": [""] * 4 + ["F"] * 76}
    rows = {
        (row["column"], row["value"]): row for row in measure_subgroups(columns, probabilities, labels, groups, **TASK)
    }
    first, second = rows["scanner", "A"], rows["scanner", "B"]
    assert (first["images"], first["groups"]) == (40, 10)
    assert first["auc"]["value"] == first["sensitivity"]["value"] == 1.0
    assert second["auc"]["value"] == second["specificity"]["value"] == 0.0
    assert "auc" not in rows["sex", "not known"]
    assert rows["sex", "not known"]["images"] == 4


def test_ages_are_cut_into_three_parts() -> None:
    probabilities, labels, groups = _cases()
    ages = [str(20 + number // 2) for number in range(80)]
    rows = measure_subgroups({"age": ages}, probabilities, labels, groups, **TASK)
    assert [row["value"] for row in rows] == ["33 to 46", "above 46", "below 33"]
    assert sum(row["images"] for row in rows) == 80


def test_a_column_of_names_is_refused_and_none_is_repeated() -> None:
    probabilities, labels, groups = _cases()
    names = [f"Doe_{number}" for number in range(80)]
    with pytest.raises(BundleAuditError, match="may name persons") as error:
        measure_subgroups({"patient": names}, probabilities, labels, groups, **TASK)
    assert "Doe" not in str(error.value)
