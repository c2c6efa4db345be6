"""What a study compares: read from JSON, with everything that is wrong with it told at once."""

from monai_ext.study.plan.narrowing import narrowed
from monai_ext.study.plan.reading import parse_plan, read_plan
from monai_ext.study.plan.study_plan import Method, Protocol, StudyPlan, Task

__all__ = ["Method", "Protocol", "StudyPlan", "Task", "narrowed", "parse_plan", "read_plan"]
