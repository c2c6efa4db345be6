"""What the page says in words: each sentence follows from numbers, and a difference is claimed only where it may be."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

from monai_ext.foreign_text import listed
from monai_ext.metrics.classification import Estimate
from monai_ext.networks.stage_maps import STAGES
from monai_ext.study.layers.results import MEASURES, Difference, LayerResults
from monai_ext.study.report.numbers import difference, number, probability
from monai_ext.study.statistics.scored_cells import SMALL_TEST

__all__ = ["MEASURE_NAMES", "claims", "limits", "shown", "shown_difference", "summary_sentences"]

MEASURE_NAMES = {
    "auc": "Linear-probe AUC",
    "rank": "Effective rank",
    "field_half": "Side of the square that holds half of the effective receptive field",
    "high_share": "Share of the reaction that is to high frequencies",
}
_UNITS = {"high_share": " %", "high_share_seen": " %"}
_ONE_DIGIT = ("rank", "map_rank", "field_half", "field_most", *_UNITS)


def summary_sentences(results: LayerResults) -> list[str]:
    """One or more sentences for each measure."""
    sentences = [sentence for measure in MEASURES for sentence in _about(results, measure)]
    return sentences + _about_similarity(results)


def shown(measure: str, estimate: Estimate) -> str:
    """A number with its interval, as its measure is written.

    >>> shown("rank", Estimate(31.22, 30.0, 33.0)), shown("auc", Estimate(0.8, 0.75, 0.85))
    ('31.2 [30.0, 33.0]', '.800 [.750, .850]')
    """
    return _written(measure, estimate, number, "")


def shown_difference(measure: str, estimate: Estimate) -> str:
    """A signed difference with its interval.

    >>> shown_difference("high_share", Estimate(-0.12, -0.2, -0.04))
    '-12.0 [-20.0, -4.0] points'
    """
    return _written(measure, estimate, difference, "+").replace("%", "points")


def _written(measure: str, estimate: Estimate, plain: Callable[[Estimate], str], sign: str) -> str:
    if measure not in _ONE_DIGIT:
        return plain(estimate)
    unit = _UNITS.get(measure, "")
    factor = 100 if unit else 1
    value, low, high = (f"{factor * part:{sign}.1f}" for part in (estimate.value, estimate.low, estimate.high))
    return f"{value}{unit}" if estimate.low != estimate.low else f"{value} [{low}, {high}]{unit}"


def claims(compared: list[Difference]) -> list[Difference]:
    """Differences of an encoder's layer that may be claimed from all untrained encoders, in the same direction.

    Of each layer the smallest is given: what is said is true of every untrained encoder.
    """
    of_layer: dict[tuple[str, str], list[Difference]] = {}
    for found in compared:
        of_layer.setdefault(found.of, []).append(found)
    return [
        min(group, key=lambda found: abs(found.estimate.value))
        for group in of_layer.values()
        if all(found.may_be_claimed for found in group) and len({found.estimate.value > 0 for found in group}) == 1
    ]


def _about(results: LayerResults, measure: str) -> list[str]:
    """Each trained encoder against the untrained ones of its kind."""
    compared = results.differences[measure]
    if not compared:
        return []
    name, claimed = MEASURE_NAMES[measure], claims(compared)
    if not claimed:
        widest = max(compared, key=lambda found: abs(found.estimate.value))
        return [
            f"{name}: no encoder is told apart from all untrained weights at any layer; the largest of {len(compared)}"
            f" differences is that of {widest.of[0]} from {widest.less[0]} at {widest.of[1]},"
            f" {shown_difference(measure, widest.estimate)}, whose corrected p is {probability(widest.p_holm)}."
        ]
    sentences = []
    for encoder in dict.fromkeys(found.of[0] for found in claimed):
        for is_higher in (True, False):
            own = [f for f in claimed if f.of[0] == encoder and (f.estimate.value > 0) is is_higher]
            if own:
                sentences.append(_claim(measure, own, is_higher=is_higher))
    rest = [e.name for e in results.trained if any(f.of[0] == e.name for f in compared)]
    rest = [encoder for encoder in rest if not any(found.of[0] == encoder for found in claimed)]
    if rest:
        sentences.append(f"{name}: {listed(rest)}: at no layer told apart from all untrained weights.")
    return sentences


def _claim(measure: str, claimed: list[Difference], *, is_higher: bool) -> str:
    where = [f"{found.of[1]} ({shown_difference(measure, found.estimate)})" for found in claimed]
    every = f"all {len(STAGES)} layers: " if len(claimed) == len(STAGES) else ""
    largest = max(found.p_holm for found in claimed)
    return (
        f"{MEASURE_NAMES[measure]}: that of {claimed[0].of[0]} is {'higher' if is_higher else 'lower'} than those of"
        f" untrained weights at {every}{listed(where)}, from the nearest of them;"
        f" {'largest ' if len(claimed) > 1 else ''}corrected p {probability(largest)}."
    )


def _about_similarity(results: LayerResults) -> list[str]:
    """The most and the least alike pair at the deepest layer, and how far each encoder is from untrained weights."""
    deepest = STAGES[-1]
    sentences = []
    for encoder in results.trained:
        with_untrained = [
            f"with {other.name} "
            + ", ".join(
                f"{number(results.alike((encoder.name, stage), (other.name, stage)).estimate)} at {stage}"
                for stage in (STAGES[0], deepest)
            )
            for other in results.references(encoder)
        ]
        if with_untrained:
            sentences.append(f"Similarity (CKA) of {encoder.name}: {'; '.join(with_untrained)}.")
    pairs = list(combinations([encoder.name for encoder in results.trained], 2))
    alike = {pair: results.alike((pair[0], deepest), (pair[1], deepest)) for pair in pairs}
    alike = {pair: found for pair, found in alike.items() if found.value == found.value}
    if len(alike) < 2:
        return sentences
    most, least = (choose(alike, key=lambda pair: alike[pair].value) for choose in (max, min))
    widest = next(
        (
            f
            for f in results.differences["similarity"]
            if {f.of[0], f.less[0]} == {" and ".join(most), " and ".join(least)}
        ),
        None,
    )
    ends = (
        f"{most[0]} and {most[1]} ({number(alike[most].estimate)})",
        f"{least[0]} and {least[1]} ({number(alike[least].estimate)})",
    )
    if widest is None or not widest.may_be_claimed:
        sentences.append(
            f"Similarity of trained encoders at {deepest}: of {len(alike)} pairs none is told to be more alike than"
            f" another from the highest and the lowest value, those of {ends[0]} and {ends[1]}."
        )
    else:
        sentences.append(
            f"Similarity of trained encoders at {deepest}: of {len(alike)} pairs, {ends[0]} are the most alike, more"
            f" than {ends[1]}, the least; corrected p {probability(widest.p_holm)}."
        )
    return sentences


def limits(results: LayerResults) -> list[str]:
    """What the reader has to know before relying on the numbers."""
    judged = results.judged
    sentences = [
        "The page describes encoders. That one of these numbers is why an encoder holds up with few labels does not"
        " follow from it: for that, many encoders would have to be compared, and what makes the number changed alone.",
        "Intervals are over patients: for probes resamples of test patients in each fold, for the others the jackknife"
        f" over {judged.describe()['blocks']} blocks of patients. They tell what other patients would give, not what"
        " another training, or another seed of the random weights, would: give scratch:1, or a second training, to see"
        " that.",
        "Of the untrained encoders, scratch is how a fine-tuning without pre-training begins; start is how a"
        " pre-training begins, with closed residual branches, which alone narrow fields. A difference is claimed only"
        " from both.",
        "p-values are corrected by Holm's method over all differences of one measure. That of probes is the corrected"
        " resampled t-test over folds, which is careful with few images: what is not claimed may still be there.",
        "Probes see maps averaged over the image, so a layer may hold more than its probe can tell.",
        "Ranks grow with the number of images and of channels: compare encoders at a layer, not layers of an encoder.",
    ]
    patients = len(set(judged.groups))
    if patients < SMALL_TEST:
        sentences.append(f"{patients} patients: below {SMALL_TEST}, intervals over patients are too narrow.")
    if judged.data.items.grouped_by in ("item", "picture"):
        sentences.append(
            "Nothing tells which images are of one patient; every image counts as a patient, and intervals are too"
            " narrow by an unknown amount."
        )
    if judged.left_out:
        sentences.append(f"{judged.left_out} images of the published test section were not looked at.")
    if judged.kept_of > len(judged):
        sentences.append(f"{len(judged)} of {judged.kept_of} images were used: patients were drawn.")
    sizes = {encoder.image_size for encoder in results.encoders}
    if len(sizes) > 1 or len({encoder.architecture for encoder in results.encoders}) > 1:
        sentences.append(
            "Encoders differ in architecture or image size: each is compared with untrained weights of its own kind."
            " Ranks, fields in pixels and shares of frequencies of different kinds are not comparable."
        )
    return sentences
