from __future__ import annotations

import numpy as np
import pytest

from helpers.made_up_predictions import checked, made_up


def test_a_part_is_judged_by_itself() -> None:
    predictions = checked(**made_up(2, 40))
    part = predictions.part(np.arange(40) >= 10)
    assert len(part.labels) == 30
    assert (part.threshold, part.positive) == (0.4, 1)
    with pytest.raises(ValueError, match="none is of class class 0"):
        predictions.part(predictions.labels == 1)
