"""What a study compares: read from JSON, with everything that is wrong with it told at once."""

from monai_ext.study.plan.reading import parse_plan, read_plan
from monai_ext.study.plan.study_plan import Method, Protocol, StudyPlan, Task

__all__ = ["Method", "Protocol", "StudyPlan", "Task", "parse_plan", "read_plan"]
