"""The report is one page that needs nothing else, and tables that hold the same numbers."""

import csv
import io
import re
from html.parser import HTMLParser

import pytest

from helpers.fake_records import write_fake_study
from monai_ext.errors import StudyError
from monai_ext.study.records import StudyFolder
from monai_ext.study.report import load_results, write_report


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    separations = {"scratch": 0.8, "SparK": 1.6, "BYOL": 1.2, "gray levels": 0.5}
    made = write_fake_study(tmp_path_factory.mktemp("study"), separations, near_duplicates=4)
    write_report(made)
    return made


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links, self.ids = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href", "xlink:href")]
        self.ids += [value for name, value in attributes if name == "id"]


@pytest.fixture(scope="module")
def page(folder):
    parser = _Tags()
    parser.feed((folder.report / "report.html").read_text())
    return parser


def test_the_page_asks_for_nothing_and_runs_nothing(page):
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert all(link.startswith("#") for link in page.links)


def test_every_link_inside_the_page_has_its_place_once(page):
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)


def test_the_page_is_small(folder):
    assert (folder.report / "report.html").stat().st_size < 500_000


def test_tables_hold_the_estimates(folder):
    results = load_results(folder)
    value = results.panels[0].arms["training", "SparK"].estimate("auc").value
    rows = list(csv.reader(io.StringIO((folder.report / "results.csv").read_text())))
    (row,) = [row for row in rows if row[:2] == ["CT, linear probe: AUC", "SparK"]]
    assert row[-3] == f"{value:.3f}".removeprefix("0")
    assert float(row[-2]) <= value <= float(row[-1])


def test_trivial_predictors_stand_in_every_result(folder):
    text = (folder.report / "results.csv").read_text()
    assert text.count("gray levels") == 3  # AUC, macro F1, accuracy


def test_results_without_near_duplicates_stand_beside(folder):
    assert "without near duplicates" in (folder.report / "report.html").read_text()


def test_latex_escapes_what_it_must(folder):
    text = (folder.report / "tables.tex").read_text()
    assert not re.search(r"(?<!\\)%", text)
    assert text.count(r"\toprule") == text.count(r"\bottomrule") > 3


def test_pictures_are_there_as_files(folder):
    assert {"curves_probe_CT.png", "differences_probe_CT.png", "ranks_probe.png"} <= {
        path.name for path in folder.report.glob("*.png")
    }


def test_a_name_cannot_bring_markup_into_the_page(tmp_path):
    made = write_fake_study(tmp_path, {"scratch": 1.0, "<script>x</script>": 1.0})
    write_report(made)
    assert "<script>" not in (made.report / "report.html").read_text()


def test_records_that_are_used_again_have_the_method_names_of_the_plan(tmp_path):
    folder = write_fake_study(tmp_path, {"scratch": 0.5, "SparK": 1.0}, folds=2)
    for name in ("plan.json", "cells.json"):
        file = folder.path / name
        file.write_text(file.read_text().replace('"SparK"', '"SparK, 5000 images"'))
    assert {record.cell["method"] for record in load_results(folder).records} == {"scratch", "SparK, 5000 images"}


def test_a_folder_without_study_is_refused(tmp_path):
    with pytest.raises(StudyError, match="holds no study"):
        write_report(StudyFolder(tmp_path))
