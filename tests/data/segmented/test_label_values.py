import numpy as np
import pytest
from PIL import Image

from monai_ext.data.segmented.label_values import MaskValues, mask_picture

TWO = ["background", "infection"]
THREE = ["background", "glass", "solid"]


@pytest.mark.parametrize(
    ("classes", "values", "pixels", "expected"),
    [
        (TWO, None, [0, 255], [0, 1]),
        (TWO, None, [0, 65535], [0, 1]),
        (TWO, None, [0, 1], [0, 1]),
        (TWO, None, [0, 0], [0, 0]),
        (THREE, None, [0, 2], [0, 2]),
        (THREE, [0, 38, 75], [75, 38], [2, 1]),
        (TWO, [0, [1, 2]], [1, 2], [1, 1]),
        (TWO, [[0, 3], 1], [3, 1], [0, 1]),
    ],
)
def test_values_become_class_numbers(classes, values, pixels, expected):
    numbers = MaskValues(classes, values).numbers(np.array([pixels]))
    assert numbers.dtype == np.uint8
    assert numbers.tolist() == [expected]


@pytest.mark.parametrize(
    ("classes", "pixels", "sentence"),
    [
        (TWO, [0, 3, 250, 255], r"0, 3, 250, 255, where 0 for background, 255 for infection .* JPEG .* mask_values"),
        (THREE, [0, 255], "0, 255, where 0 for background, 1 for glass, 2 for solid are expected"),
        (TWO, [0, 0.5], r"no whole numbers \(0, 0.5\)"),
        (TWO, [-1, 0], "-1, 0"),
        (TWO, [0, 1, 2], "0, 1, 2"),
    ],
)
def test_other_values_are_refused_with_those_that_are_expected(classes, pixels, sentence):
    with pytest.raises(ValueError, match=sentence):
        MaskValues(classes).numbers(np.array([pixels]))


@pytest.mark.parametrize("values", [[0], [0, 1, 2], [0, 0], [0, [0, 1]]])
def test_values_that_do_not_fit_the_classes_are_refused(values):
    with pytest.raises(ValueError, match="one entry for each of the classes background, infection"):
        MaskValues(TWO, values)


def test_a_single_class_is_refused():
    with pytest.raises(ValueError, match="2 to 255 classes"):
        MaskValues(["background"])


@pytest.fixture
def picture(tmp_path):
    gray = Image.fromarray(np.array([[0, 0], [255, 0]], dtype=np.uint8))
    return tmp_path / "mask.png", gray


def test_gray_pictures_give_their_levels(picture):
    path, gray = picture
    gray.save(path)
    assert mask_picture(path).tolist() == [[0, 0], [255, 0]]


def test_pictures_of_one_bit_give_0_and_1(picture):
    path, gray = picture
    gray.convert("1").save(path)
    assert mask_picture(path).tolist() == [[0, 0], [1, 0]]


def test_a_palette_gives_its_numbers(picture):
    path, _ = picture
    palette = Image.fromarray(np.array([[0, 2], [1, 0]], dtype=np.uint8), mode="P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    palette.save(path)
    assert mask_picture(path).tolist() == [[0, 2], [1, 0]]


def test_equal_colours_are_gray_and_others_are_refused(picture):
    path, gray = picture
    gray.convert("RGB").save(path)
    assert mask_picture(path).tolist() == [[0, 0], [255, 0]]
    Image.merge("RGB", [gray, gray.rotate(90), gray]).save(path)
    with pytest.raises(ValueError, match="in colours, which say nothing about classes"):
        mask_picture(path)
