"""A part of a plan: some of its protocols, methods and tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from monai_ext.errors import StudyError
from monai_ext.study.plan.problems import nearest
from monai_ext.study.plan.study_plan import StudyPlan

__all__ = ["narrowed"]


def narrowed(
    plan: StudyPlan,
    *,
    protocols: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
) -> StudyPlan:
    """The plan with these protocols, methods (and their smaller budgets) and tasks alone; None keeps all of a kind.

    Raises:
        StudyError: a name that the plan does not have, or nothing that is left to compare with.
    """
    for kind, chosen in (("protocols", protocols), ("methods", methods), ("tasks", tasks)):
        there = [entry.name for entry in getattr(plan, kind)]
        for name in chosen or ():
            if name not in there:
                raise StudyError(
                    f"The plan {plan.name} has no {kind.removesuffix('s')} {name!r}{nearest(name, there)}."
                )
    if methods is not None and plan.reference not in methods:
        raise StudyError(f"The plan compares with {plan.reference!r}: name it among the methods too.")
    return replace(
        plan,
        protocols=tuple(protocol for protocol in plan.protocols if protocols is None or protocol.name in protocols),
        methods=tuple(
            method
            for method in plan.methods
            if methods is None or {method.name, method.smaller_budget_of} & set(methods)
        ),
        tasks=tuple(task for task in plan.tasks if tasks is None or task.name in tasks),
    )
