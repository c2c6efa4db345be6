"""The answer: one page that opens offline, with its tables and pictures, made of records alone."""

from monai_ext.study.report.results import StudyResults, load_results
from monai_ext.study.report.sentences import summary_sentences
from monai_ext.study.report.writing import write_report

__all__ = ["StudyResults", "load_results", "summary_sentences", "write_report"]
