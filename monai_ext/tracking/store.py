"""What is written to MLflow, and how."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_ext.locations import artifact_location, database_file
from monai_ext.tracking.columns import UNKNOWN
from monai_ext.tracking.connection import connect, prepare_environment, translated_errors
from monai_ext.tracking.delivery import RefusedEntry
from monai_ext.tracking.process_identity import PROCESS_TAG, is_gone
from monai_ext.tracking.spool import Entry

__all__ = ["KEY_TAG", "MLflowStore"]

logger = logging.getLogger(__name__)

KEY_TAG = "monai_ext.key"
_PER_REQUEST = 100
_MISSING = "RESOURCE_DOES_NOT_EXIST"
_NO_RUN = {_MISSING, "INVALID_PARAMETER_VALUE"}


class MLflowStore:
    """One run in an MLflow tracking store, written entry by entry.

    An entry is a kind and its content (see the methods ``_send_...``); the first must be ``"open"``. MLflow's global
    "active run" is never touched. MLflow itself is imported with the first entry.

    Args:
        tracking_uri: of the store.
    """

    def __init__(self, tracking_uri: str) -> None:
        self.tracking_uri = tracking_uri
        self.run_id: str | None = None
        self.run_name = ""
        self.refusal: str | None = None
        self.first_system_step = 0
        self._client: Any = None

    def send(self, entry: Entry) -> None:
        """Write an entry.

        Raises:
            StoreUnreachable: it may succeed later.
            RefusedEntry: it never will.
        """
        kind, content = entry
        prepare_environment()
        with translated_errors():
            if self._client is None:
                self._client = connect(self.tracking_uri)
            if kind != "open" and self.run_id is None:
                raise RefusedEntry(f"the run could not be opened ({self.refusal})")
            getattr(self, f"_send_{kind}")(content)

    def open(self, content: Mapping[str, Any]) -> None:
        """Send ``"open"``; if it is refused, ``refusal`` says why and whatever follows is refused.

        Raises:
            StoreUnreachable: it may succeed later.
        """
        try:
            self.send(("open", content))
        except RefusedEntry as error:
            self.refusal = str(error).rstrip(".")

    def _send_open(self, content: Mapping[str, Any]) -> None:
        """Continue the run with ``run_id``, or the one with ``key``; else make a new one."""
        experiment_id = self._experiment(content["experiment"])
        run = self._find(content, experiment_id)
        if run is None:
            tags = {**content["tags"], KEY_TAG: content["key"]}
            if content["run_id"]:
                tags["monai_ext.continues_run_id"] = content["run_id"]
            run = self._client.create_run(
                experiment_id, start_time=content["start_time"], tags=tags, run_name=content["run_name"]
            )
        elif run.info.run_id != self.run_id:
            self._client.update_run(run.info.run_id, status="RUNNING")
            self._client.set_tag(run.info.run_id, PROCESS_TAG, content["tags"].get(PROCESS_TAG, ""))
            if "monai_ext.error" in run.data.tags:
                self._client.delete_tag(run.info.run_id, "monai_ext.error")
            self.first_system_step = self._next_system_step(run)
        self.run_id, self.run_name = run.info.run_id, run.info.run_name
        self._end_dead_runs(experiment_id)

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            return self._client.create_experiment(
                name, artifact_location=artifact_location(self.tracking_uri, experiment=name)
            )
        if found.lifecycle_stage != "active":
            raise RefusedEntry(
                f"the MLflow experiment {name!r} was deleted; restore it with "
                f"'mlflow experiments restore -x {found.experiment_id}', or choose another name"
            )
        return found.experiment_id

    def _find(self, content: Mapping[str, Any], experiment_id: str) -> Any:
        if content["run_id"]:
            from mlflow.exceptions import MlflowException

            try:
                run = self._client.get_run(content["run_id"])
            except MlflowException as error:
                if error.error_code != _MISSING:
                    raise
                run = None
            if run is not None and run.info.lifecycle_stage == "active":
                return run
            logger.warning("The MLflow run %s does not exist any more; a new one is made.", content["run_id"])
        found = self._client.search_runs([experiment_id], f"tags.`{KEY_TAG}` = '{content['key']}'", max_results=1)
        return found[0] if found else None

    def _next_system_step(self, run: Any) -> int:
        names = [name for name in run.data.metrics if name.startswith("system/")]
        if not names:
            return 0
        return 1 + max(point.step for point in self._client.get_metric_history(run.info.run_id, names[0]))

    def _end_dead_runs(self, experiment_id: str) -> None:
        """Mark runs as KILLED whose process on this machine is gone without having said so (SIGKILL, power)."""
        for run in self._client.search_runs([experiment_id], "attributes.status = 'RUNNING'", max_results=200):
            if run.info.run_id != self.run_id and is_gone(run.data.tags.get(PROCESS_TAG, "")):
                self._client.set_tag(run.info.run_id, "monai_ext.error", "The process ended without a word.")
                self._client.set_terminated(run.info.run_id, status="KILLED")

    def _send_metrics(self, content: list[list[Any]]) -> None:
        from mlflow.entities import Metric

        for start in range(0, len(content), 1000):
            points = [
                Metric(name, value, time_ms, step) for name, value, time_ms, step in content[start : start + 1000]
            ]
            self._client.log_batch(self.run_id, metrics=points)

    def _send_parameters(self, content: Mapping[str, Any]) -> None:
        """Parameters cannot change in MLflow; what a resumed training changes is kept as ``name/from_iteration_N``."""
        from mlflow.entities import Param

        known = self._client.get_run(self.run_id).data.params
        fresh: dict[str, str] = {}
        for name, value in self._inherited(content["values"], content.get("parent", "")).items():
            if name not in known:
                fresh[name] = value
            elif known[name] != value:
                fresh[f"{name}/from_iteration_{content['iteration']}"] = value
        items = [Param(name, value) for name, value in fresh.items() if name not in known]
        for start in range(0, len(items), _PER_REQUEST):
            self._client.log_batch(self.run_id, params=items[start : start + _PER_REQUEST])

    def _inherited(self, values: Mapping[str, str], parent: str) -> dict[str, str]:
        """The values, and of the parent run what is unknown here."""
        from mlflow.exceptions import MlflowException

        if not parent or UNKNOWN not in values.values():
            return dict(values)
        try:
            known = self._client.get_run(parent).data.params
        except MlflowException as error:
            if error.error_code not in _NO_RUN:
                raise
            known = {}
        return {name: known.get(name, UNKNOWN) if value == UNKNOWN else value for name, value in values.items()}

    def _send_tags(self, content: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        items = [RunTag(name, value) for name, value in content.items()]
        for start in range(0, len(items), _PER_REQUEST):
            self._client.log_batch(self.run_id, tags=items[start : start + _PER_REQUEST])

    def _send_dataset(self, content: Mapping[str, str]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=content["name"], digest=content["digest"], source_type="local", source="{}", profile=content["profile"]
        )
        context = InputTag("mlflow.data.context", content["context"])
        self._client.log_inputs(self.run_id, datasets=[DatasetInput(dataset, [context])])

    def _send_text(self, content: Mapping[str, str]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(content["file"]).name
            path.write_text(content["text"], encoding="utf-8")
            self._upload(path, str(Path(content["file"]).parent))

    def _send_artifact(self, content: Mapping[str, str]) -> None:
        self._upload(Path(content["path"]), content["folder"])

    def _send_picture(self, content: Mapping[str, Any]) -> None:
        """A picture with a step: MLflow's page shows all steps of a name with a slider."""
        from PIL import Image

        with Image.open(content["path"]) as picture:
            picture.load()
            if self._proxied_folder() is None:
                self._client.log_image(
                    self.run_id, picture, key=content["name"], step=content["step"], timestamp=content["time"]
                )
                return
        self._upload(Path(content["path"]), f"pictures/{content['name']}")

    def _send_end(self, content: Mapping[str, Any]) -> None:
        if content["error"]:
            self._client.set_tag(self.run_id, "monai_ext.error", content["error"])
        self._client.set_terminated(self.run_id, status=content["status"], end_time=content["time"])

    def _upload(self, path: Path, folder: str) -> None:
        if not path.exists():
            raise RefusedEntry(f"{path.name} does not exist any more")
        inside = None if folder in ("", ".") else folder
        target = self._proxied_folder()
        if target is None:
            method = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
            method(self.run_id, str(path), artifact_path=inside)
            return
        target = target / (inside or "")
        target.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target, dirs_exist_ok=True)
        else:
            shutil.copy2(path, target)

    def _proxied_folder(self) -> Path | None:
        """Folder of the run's files when the experiment was made by ``mlflow ui`` and is now written to directly.

        Such an experiment's files belong to the server's ``mlartifacts`` folder beside the database, and MLflow's
        client refuses to put them there without the server.
        """
        database = database_file(self.tracking_uri)
        if database is None:
            return None
        uri = self._client.get_run(self.run_id).info.artifact_uri
        scheme, _, path = uri.partition(":")
        return database.parent / "mlartifacts" / path.lstrip("/") if scheme == "mlflow-artifacts" else None
