"""Sites that would not train the same network in the same way are refused before the first round."""

from dataclasses import replace

import pytest
import torch

from monai_ext.errors import FederationError
from monai_ext.federated.agreement import SiteDescription, check_agreement, config_digests, state_digest

SAME = SiteDescription(classes=("NonCOVID", "COVID"), config={"window": "12", "lr": "34"}, network="ab", images=5)


def test_equal_sites_agree_whatever_their_numbers_of_images():
    check_agreement({"site-1": SAME, "site-2": replace(SAME, images=99)}, replace(SAME, images=0))


def test_different_class_lists_are_refused_with_both():
    other = replace(SAME, classes=("NonCOVID", "COVID", "Pneumonia"))
    with pytest.raises(
        FederationError, match=r"site-1 has \[NonCOVID, COVID\] and site-2 has \[NonCOVID, COVID, Pneumonia\]"
    ):
        check_agreement({"site-2": other, "site-1": SAME}, other)


def test_another_order_of_the_classes_is_refused():
    other = replace(SAME, classes=SAME.classes[::-1])
    with pytest.raises(FederationError, match=r"same order .*the job has \[NonCOVID, COVID\] and site-2 has \[COVID"):
        check_agreement({"site-2": other}, SAME)


def test_another_window_is_refused_by_the_ids_name_alone():
    other = replace(SAME, config={"window": "99", "lr": "34", "more": "1"})
    with pytest.raises(FederationError, match=r"site-2 would train in another way .* differs in more, window\."):
        check_agreement({"site-1": SAME, "site-2": other}, SAME)


def test_other_versions_and_networks_are_refused():
    with pytest.raises(FederationError, match=r"site-1 has monai_ext 0\.0\.9 and the job was made with"):
        check_agreement({"site-1": replace(SAME, version="0.0.9")}, SAME)
    with pytest.raises(FederationError, match="network of site-1 has other entries or shapes"):
        check_agreement({"site-1": replace(SAME, network="cd")}, SAME)


def test_digests_leave_out_what_each_site_chooses_and_hide_values():
    digests = config_digests({"window": "lung", "dataset_dir": "/Zqx7", "seed": 4, "precision": "fp32"})
    assert digests.keys() == {"window"}
    assert "lung" not in digests["window"]
    assert digests != config_digests({"window": "full"})


def test_a_state_is_told_from_another_by_names_and_shapes_not_by_values():
    assert state_digest({"a": torch.zeros(2)}) == state_digest({"a": torch.ones(2)})
    assert state_digest({"a": torch.zeros(2)}) != state_digest({"a": torch.zeros(3)})


def test_a_description_survives_a_message_and_others_are_refused():
    assert SiteDescription.from_plain(SAME.as_plain()) == SAME
    with pytest.raises(FederationError, match="same version of monai_ext at all sites"):
        SiteDescription.from_plain({"classes": 3})
