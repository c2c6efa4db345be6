"""What is held out from training."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_ext.data.holdout import hold_out
from monai_ext.errors import DatasetError

_GROUPS = st.lists(st.sampled_from("abcdefghijkl"), min_size=2, max_size=40).filter(lambda names: len(set(names)) > 1)


@given(groups=_GROUPS, fraction=st.floats(0.01, 0.99), seed=st.integers(0, 9))
def test_every_slice_is_on_one_side_and_no_group_on_both(groups: list[str], fraction: float, seed: int) -> None:
    training, validation = hold_out(groups, fraction=fraction, seed=seed)
    assert sorted(training + validation) == list(range(len(groups)))
    assert training
    assert validation
    assert not {groups[index] for index in training} & {groups[index] for index in validation}


def test_the_fraction_counts_groups() -> None:
    groups = [str(number // 2) for number in range(200)]
    assert len(hold_out(groups, fraction=0.1, seed=0)[1]) == 20


def test_the_order_of_files_does_not_matter() -> None:
    groups = [str(number) for number in range(30)]
    held = {groups[index] for index in hold_out(groups, fraction=0.2, seed=4)[1]}
    turned = groups[::-1]
    assert {turned[index] for index in hold_out(turned, fraction=0.2, seed=4)[1]} == held


def test_another_seed_holds_out_other_groups() -> None:
    groups = [str(number) for number in range(100)]
    assert hold_out(groups, fraction=0.1, seed=0) != hold_out(groups, fraction=0.1, seed=1)


def test_a_fraction_of_zero_holds_nothing_out() -> None:
    assert hold_out(["a", "b"], fraction=0, seed=0) == ([0, 1], [])


def test_a_single_volume_gives_up_its_end_with_a_slice_between_and_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    training, validation = hold_out(["a"] * 20, fraction=0.1, seed=0)
    assert (training, validation) == (list(range(17)), [18, 19])
    assert "better than on another patient" in caplog.text


def test_too_few_slices_to_hold_any_out_are_refused() -> None:
    with pytest.raises(DatasetError, match=r"2 slice\(s\) of one volume.*validation_fraction to 0"):
        hold_out(["a", "a"], fraction=0.1, seed=0)


@pytest.mark.parametrize("fraction", [-0.1, 1.0])
def test_a_fraction_outside_its_range_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match=r"within \[0, 1\)"):
        hold_out(["a", "b"], fraction=fraction, seed=0)
