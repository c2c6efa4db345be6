"""Answer DICOM studies with a trained classifier: slices, series and studies, warnings, as tables and as DICOM."""

from monai_ext.sharing.infer.answering import answer_folder
from monai_ext.sharing.infer.answers import Answers, SeriesAnswer, SliceAnswer, StudyAnswer, Warned
from monai_ext.sharing.infer.writing import write_answers

__all__ = ["Answers", "SeriesAnswer", "SliceAnswer", "StudyAnswer", "Warned", "answer_folder", "write_answers"]
