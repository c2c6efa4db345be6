"""The low-data study: which pre-training helps with few labels, how sure that is, and how many labels are enough.

A :class:`~monai_ext.study.plan.StudyPlan` is read from JSON and expanded into cells, the runner has executors work
them off, every cell leaves one record, and the report is rendered from records only.
"""
