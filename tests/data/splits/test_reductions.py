"""Nested reductions of a training section."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from monai_ext.data.splits.items import SplitSource
from monai_ext.data.splits.reductions import reduce_training


def make_source(items: int, *, patients: int, sites: int = 0) -> SplitSource:
    """Items of two classes in proportion 1 to 2, dealt to patients of one class each."""
    labels = ["y" if number % 3 == 0 else "x" for number in range(items)]
    groups = [f"{label}{number % patients}" for number, label in enumerate(labels)]
    return SplitSource(
        kind="labels table",
        name="labels.csv",
        content_hash="",
        ids=tuple(f"{number:03d}" for number in range(items)),
        labels=tuple(labels),
        groups=tuple(groups),
        grouped_by="patient_id",
        sites=tuple(f"s{number % sites}" for number in range(items)) if sites else (),
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(30, 120), st.integers(5, 30), st.integers(0, 99), st.integers(0, 3))
def test_reductions_are_nested_and_have_exact_numbers(items: int, patients: int, seed: int, sites: int) -> None:
    source = make_source(items, patients=patients, sites=sites)
    whole = Counter(source.labels)
    reductions = reduce_training(source, source.ids, fractions=[0.5, 0.1, 0.25], per_class=[5, 2], seed=seed)
    assert list(reductions) == ["0.1", "0.25", "0.5", "2_per_class", "5_per_class"]
    for smaller, larger in (("0.1", "0.25"), ("0.25", "0.5"), ("2_per_class", "5_per_class")):
        assert set(reductions[smaller]) <= set(reductions[larger])
    for fraction in (0.1, 0.25, 0.5):
        counts = Counter(source.labels[place] for place in source.positions(reductions[f"{fraction}"]))
        assert counts == {label: max(1, round(fraction * count)) for label, count in whole.items()}
    counts = Counter(source.labels[place] for place in source.positions(reductions["5_per_class"]))
    assert counts == {"x": 5, "y": 5}


def test_whole_patients_are_taken_first() -> None:
    source = make_source(90, patients=9)
    reductions = reduce_training(source, source.ids, fractions=[], per_class=[10, 20], seed=0)
    for name, patients in (("10_per_class", 1), ("20_per_class", 2)):
        groups = {source.groups[place] for place in source.positions(reductions[name])}
        assert sum(group.startswith("y") for group in groups) == patients


def test_sites_are_mixed_evenly() -> None:
    source = make_source(120, patients=60, sites=2)
    reductions = reduce_training(source, source.ids, fractions=[], per_class=[20], seed=0)
    for label in "xy":
        places = [place for place in source.positions(reductions["20_per_class"]) if source.labels[place] == label]
        assert Counter(source.sites[place] for place in places) == {"s0": 10, "s1": 10}


def test_the_seed_decides_and_the_order_stays_that_of_the_training_section() -> None:
    source = make_source(90, patients=30)
    first, again, other = (
        reduce_training(source, source.ids, fractions=[0.2], per_class=[], seed=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other
    assert list(first["0.2"]) == sorted(first["0.2"])
