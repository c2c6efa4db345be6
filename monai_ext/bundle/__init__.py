"""What a bundle's config calls: where it lies, where its results go, and whether its overrides make sense."""

from monai_ext.bundle.classifier_file import agreeing_models, load_classifiers, mean_threshold, publish_classifier
from monai_ext.bundle.engine_run import run_engine
from monai_ext.bundle.locate import locate_bundle
from monai_ext.bundle.model_file import latest_model, load_model, model_setting, publish_model, trained_on
from monai_ext.bundle.output_dir import name_run, prepare_output_dir, resume_point
from monai_ext.bundle.overrides import check_overrides
from monai_ext.parallel.process_group import join_process_group, leave_process_group

__all__ = [
    "agreeing_models",
    "check_overrides",
    "join_process_group",
    "latest_model",
    "leave_process_group",
    "load_classifiers",
    "load_model",
    "locate_bundle",
    "mean_threshold",
    "model_setting",
    "name_run",
    "prepare_output_dir",
    "publish_classifier",
    "publish_model",
    "resume_point",
    "run_engine",
    "trained_on",
]
