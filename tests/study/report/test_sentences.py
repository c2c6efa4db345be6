"""Sentences follow from numbers: under the null nothing is claimed, a real difference is, with its interval."""

import re

import pytest

from helpers.fake_records import write_fake_study
from monai_ext.study.report import load_results, summary_sentences
from monai_ext.study.report.numbers import probability
from monai_ext.study.report.sentences import limits

CLAIMS = re.compile(r"\bis (better|worse) than\b")


@pytest.mark.parametrize("seed", range(3))
def test_null_data_claim_no_difference_between_methods(tmp_path, seed):
    alike = {"scratch": 1.0, "SparK": 1.0, "BYOL": 1.0, "gray levels": 1.0}
    results = load_results(write_fake_study(tmp_path, alike, seed=seed))
    sentences = summary_sentences(results)
    assert not any(CLAIMS.search(sentence) for sentence in sentences)
    assert "no method is told apart from scratch at any size" in sentences[0]


def test_a_large_difference_is_claimed_with_its_numbers(tmp_path):
    results = load_results(write_fake_study(tmp_path, {"scratch": 0.5, "SparK": 4.0, "gray levels": 0.3}))
    text = " ".join(summary_sentences(results))
    assert "SparK is better than scratch (AUC difference +." in text
    assert "SparK is better than gray levels" in text


def test_claims_of_several_sizes_are_one_sentence_with_both_ends_and_the_least_sure_numbers(tmp_path):
    results = load_results(write_fake_study(tmp_path, {"scratch": 0.5, "SparK": 4.0, "gray levels": 0.3}, folds=1))
    (sentence,) = [sentence for sentence in summary_sentences(results) if "SparK is better than scratch" in sentence]
    panel = results.panels[0]
    assert f"at all {len(panel.sizes)} sizes (AUC difference +." in sentence
    assert all(f"at {panel.size_title(panel.sizes[place])}" in sentence for place in (0, -1))
    largest = max(c.p_holm for key, c in results.against_reference.items() if key[3] == "SparK")
    assert f"largest corrected p {probability(largest)}" in sentence


def test_a_claim_from_one_fold_is_one_of_these_networks(tmp_path):
    results = load_results(write_fake_study(tmp_path, {"scratch": 0.5, "SparK": 4.0, "gray levels": 0.3}, folds=1))
    assert "SparK is better than scratch as trained in this one fold at all 4 sizes (AUC difference +." in _text(
        results
    )


def test_every_claim_has_an_interval_without_zero_and_a_small_corrected_p(tmp_path):
    separations = {"scratch": 1.0, "a": 1.8, "b": 2.4, "c": 0.2, "gray levels": 0.8}
    results = load_results(write_fake_study(tmp_path, separations))
    for comparisons in (results.against_reference, results.against_best, results.against_gray):
        for comparison in comparisons.values():
            if comparison.may_be_claimed:
                assert comparison.p_holm < 0.05
                assert comparison.difference.low > 0 or comparison.difference.high < 0
    for found in re.finditer(r"is (?:better|worse) than [^(]*\(AUC difference \S+ \[(\S+), (\S+)\]", _text(results)):
        assert found[1][0] == found[2][0]


def test_few_patients_are_told_with_what_it_means(tmp_path):
    results = load_results(write_fake_study(tmp_path, {"scratch": 1.0, "a": 1.0}, patients=6, folds=2))
    assert any("12 test patients: below 40" in sentence for sentence in limits(results))


def test_an_unfinished_study_says_so(tmp_path):
    folder = write_fake_study(tmp_path, {"scratch": 1.0, "a": 1.0})
    for path in sorted(folder.records.glob("*.json"))[:3]:
        path.unlink()
    assert "3 cells have no record yet" in summary_sentences(load_results(folder))[-1]


def _text(results):
    return " ".join(summary_sentences(results))
