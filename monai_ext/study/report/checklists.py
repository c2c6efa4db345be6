"""Items of TRIPOD+AI (Collins et al. 2024) and CLAIM (2024 update) that the records of a study answer."""

from __future__ import annotations

from collections import Counter

from monai_ext.study.records.record import Record
from monai_ext.study.report.results import PROTOCOL_NAMES, Panel, StudyResults
from monai_ext.study.report.tables import Table
from monai_ext.study.statistics import ScoredCell

__all__ = ["checklist"]


def checklist(results: StudyResults) -> Table:
    """Answers for the authors to check and to complete; what no record tells is not in it."""
    rows = (
        ("TRIPOD+AI 5, CLAIM 7: data source", _data(results)),
        ("TRIPOD+AI 12a, CLAIM 20: partitions", _partitions(results)),
        ("CLAIM 21: level of partitions", _levels(results)),
        ("TRIPOD+AI 10, CLAIM 19: sample size", _sizes(results)),
        ("TRIPOD+AI 12c, CLAIM 22: model", _models(results)),
        ("CLAIM 24: initialisation of parameters", _starts(results)),
        ("CLAIM 25: training and choice of the final model", _choices(results)),
        ("CLAIM 23: software and hardware", _software(results)),
        ("TRIPOD+AI 12e, CLAIM 28: measures", _measures()),
        ("CLAIM 29: uncertainty", _uncertainty()),
        ("TRIPOD+AI 12g: classes", _classes(results)),
        ("TRIPOD+AI 18f: code", _code(results)),
    )
    return Table("Reporting items answered by the records", ("item", "answer"), rows)


def _judged(results: StudyResults) -> list[Record]:
    return [record for record in results.records if record.cell["protocol"] != "pretraining"]


def _data(results: StudyResults) -> str:
    prints = {(r.cell["task"], r.inputs["data_fingerprint"][:16]) for r in _judged(results)}
    return "; ".join(f"{task}: fingerprint {mark}" for task, mark in sorted(prints))


def _partitions(results: StudyResults) -> str:
    descriptions = []
    for task in results.plan["tasks"]:
        own = [r for r in _judged(results) if r.cell["task"] == task["name"]]
        if own:
            folds = len({r.cell["fold"] for r in own})
            n_test = sorted({_test_images(results, task["name"])})
            options = ", ".join(f"{key} {value}" for key, value in task["splits"].items()) or "published or default"
            descriptions.append(f"{task['name']}: {folds} fold(s), {options}; test images a fold {n_test[0]}")
    return "; ".join(descriptions)


def _test_images(results: StudyResults, task: str) -> str:
    counts = sorted(
        {
            cell.n_test
            for panel in results.panels
            if panel.task == task
            for arm in panel.arms.values()
            for cell in arm.cells
        }
    )
    return f"{counts[0]} to {counts[-1]}" if counts[0] != counts[-1] else f"{counts[0]}"


def _levels(results: StudyResults) -> str:
    levels = {(r.cell["task"], r.results["grouped_by"]) for r in _judged(results)}
    return "; ".join(f"{task}: by {level}" for task, level in sorted(levels)) + "; overlap is refused"


def _sizes(results: StudyResults) -> str:
    descriptions = []
    for panel in results.panels:
        counts = {s: sorted({c.n_train for m in panel.methods for c in _cells(panel, s, m)}) for s in panel.sizes}
        sizes = ", ".join(f"{panel.size_title(s)}: {n[0]}" for s, n in counts.items() if n)
        patients = next(iter(panel.arms.values())).patients
        descriptions.append(f"{panel.title}: training images {sizes}; {patients} test patients")
    return "; ".join(descriptions)


def _cells(panel: Panel, size: str, method: str) -> tuple[ScoredCell, ...]:
    arm = panel.arms.get((size, method))
    return arm.cells if arm is not None else ()


def _models(results: StudyResults) -> str:
    bundles = sorted({(r.cell["task"], str(r.inputs.get("bundle"))) for r in _judged(results) if "bundle" in r.inputs})
    protocols = ", ".join(PROTOCOL_NAMES[protocol["name"]] for protocol in results.plan["protocols"])
    overrides = "; ".join(f"{task['name']}: {task['overrides']}" for task in results.plan["tasks"] if task["overrides"])
    named = ", ".join(f"{task} by the bundle {bundle}" for task, bundle in bundles)
    return f"{named}; protocols {protocols}. Changed settings: {overrides or 'none'}"


def _starts(results: StudyResults) -> str:
    marks = {r.cell["method"]: r.inputs.get("encoder_sha256") for r in _judged(results) if "encoder_sha256" in r.inputs}
    seen = {r.cell["method"]: r.results["images_seen"] for r in results.records if r.cell["protocol"] == "pretraining"}
    descriptions = []
    for method in results.plan["methods"]:
        name = method["name"]
        mark = marks.get(name)
        budget = seen.get(name) or method["images_seen"]
        start = "random weights" if mark is None else f"encoder {mark[:16]}"
        descriptions.append(f"{name}: {start}" + (f", {budget:,} images seen" if budget and mark else ""))
    return "; ".join(descriptions)


def _choices(results: StudyResults) -> str:
    seeds = sorted({r.cell["seed"] for r in _judged(results)})
    return (
        "Epochs, strengths, numbers of neighbours and thresholds were chosen on validation only; the test section was"
        f" read once a cell, after everything was chosen. Seeds {', '.join(map(str, seeds))}."
    )


def _software(results: StudyResults) -> str:
    versions = Counter(
        ", ".join(f"{name} {value}" for name, value in r.measured["versions"].items()) for r in results.records
    )
    machines = sorted({str(r.measured["accelerator"] or r.measured["processor"]) for r in results.records})
    return f"{'; '.join(versions)}; {', '.join(machines)}"


def _measures() -> str:
    return "AUC (of the positive class, or the mean over classes, each against the rest), macro F1, accuracy"


def _uncertainty() -> str:
    return (
        "95 % percentile intervals over resamples of test patients; paired differences with the same resamples;"
        " corrected resampled t-test over folds (Nadeau and Bengio 2003) with the numbers of test and training images;"
        " Holm's correction; probability of a false outperformance claim (arXiv 2505.04720)"
    )


def _classes(results: StudyResults) -> str:
    classes = {r.cell["task"]: (r.results["class_names"], r.results["positive_class"]) for r in _judged(results)}
    return "; ".join(
        f"{task}: {', '.join(names)}" + (f" (positive: {positive})" if positive else "")
        for task, (names, positive) in classes.items()
    )


def _code(results: StudyResults) -> str:
    marks = sorted(
        {str(r.measured["code"].get("mlflow.source.git.commit", "no commit known"))[:12] for r in results.records}
    )
    return f"monai_ext {results.records[0].inputs['monai_ext']}, commit {', '.join(marks)}"
