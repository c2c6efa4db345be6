"""A disk that refuses is told in a sentence; anything else passes."""

import pytest

from monai_ext.cli._writing import writing_to


def test_what_the_disk_says_is_in_the_sentence():
    sentence = r"^Writing features to out: No space left on device\. Free space"
    with pytest.raises(ValueError, match=sentence), writing_to("out", "features"):
        raise OSError(28, "No space left on device")


def test_other_errors_pass():
    with pytest.raises(KeyError), writing_to("out", "features"):
        raise KeyError
