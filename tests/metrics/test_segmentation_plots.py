import io

import numpy as np
from PIL import Image

from monai_ext.metrics import evaluate_segmentation, score_case, write_sizes


def test_sizes_are_drawn_also_where_nothing_is_marked():
    empty = np.zeros((4, 4), np.uint8)
    file = io.BytesIO()
    cases = [score_case(empty, empty, classes=3)]
    write_sizes(evaluate_segmentation(cases, class_names=["a", "b", "c"], n_bootstrap=0), file)
    assert Image.open(file).width > 300
