"""What can be written to a run: operations, each of which knows how it is written and how it waits as JSON."""

from __future__ import annotations

import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from monai_ext.locations import database_file
from monai_ext.tracking.columns import UNKNOWN
from monai_ext.tracking.runs_table import compared_cells, compared_metrics, compared_parameters

if TYPE_CHECKING:
    from monai_ext.tracking.store import MLflowStore

__all__ = [
    "Artifact", "DatasetInput", "EndRun", "Metrics", "Model", "NestedRun", "OpenRun", "Operation", "Parameters",
    "Picture", "RefusedOperation", "Tags", "Text", "milliseconds", "operation_of",
]  # fmt: skip

METRICS_PER_REQUEST = 1000
ITEMS_PER_REQUEST = 100
NO_SUCH_RUN = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}


class RefusedOperation(Exception):
    """The store will never take this operation."""


def milliseconds() -> int:
    """Now, as MLflow counts time."""
    return int(time.time() * 1000)


class Operation(ABC):
    """One thing to write to a run, as plain values.

    In a spool it is ``[kind, content]``: the values of its fields by name, of a single field the value alone.
    """

    kind: ClassVar[str]
    is_file: ClassVar[bool] = False
    """Whether it sends a file, which may be refused while everything else is taken."""

    @abstractmethod
    def write(self, store: MLflowStore) -> None:
        """Write it to the run that the store has opened; errors are MLflow's own."""

    @property
    def content(self) -> Any:
        """What JSON keeps of it."""
        values = vars(self)
        return values if len(values) > 1 else next(iter(values.values()))


@dataclass(frozen=True)
class OpenRun(Operation):
    """Continue the run with ``run_id``, if one is named, or the one with ``key``; else make a new one."""

    kind = "open"
    tracking_uri: str
    experiment: str
    run_name: str | None
    run_id: str
    key: str
    start_time: int
    tags: Mapping[str, str]

    def write(self, store: MLflowStore) -> None:
        store.open(self)


@dataclass(frozen=True)
class Metrics(Operation):
    """Points of metrics: ``[name, value, milliseconds, step]`` each.

    A value may be a tensor, which is read when it is written: who trains on a GPU does not wait for it.
    """

    kind = "metrics"
    points: list[list[Any]]

    @classmethod
    def at_step(cls, values: Mapping[str, Any], step: int) -> Metrics:
        """Values that belong to a step, measured now."""
        now = milliseconds()
        return cls([[name, value, now, step] for name, value in values.items()])

    @property
    def content(self) -> list[list[Any]]:
        return [[name, float(value), time_ms, step] for name, value, time_ms, step in self.points]

    def write(self, store: MLflowStore) -> None:
        from mlflow.entities import Metric

        for points in _portions(self.content, METRICS_PER_REQUEST):
            store.client.log_batch(store.run_id, metrics=[Metric(*point) for point in points])
        store.show_columns(compared_metrics(dict.fromkeys(name for name, *_ in self.points)))


@dataclass(frozen=True)
class Parameters(Operation):
    """Parameters of the run, as text.

    They cannot change in MLflow; what a resumed training changes is kept as ``name/from_iteration_N``. A value that is
    not known here, ``"-"``, is that of the ``parent`` run where it has one.
    """

    kind = "parameters"
    values: Mapping[str, str]
    iteration: int = 0
    parent: str = ""

    def write(self, store: MLflowStore) -> None:
        from mlflow.entities import Param

        known = store.client.get_run(store.run_id).data.params
        fresh: dict[str, str] = {}
        values = self._inherited(store)
        for name, value in values.items():
            if name not in known:
                fresh[name] = value
            elif known[name] != value:
                fresh[f"{name}/from_iteration_{self.iteration}"] = value
        parameters = [Param(name, value) for name, value in fresh.items() if name not in known]
        for portion in _portions(parameters, ITEMS_PER_REQUEST):
            store.client.log_batch(store.run_id, params=portion)
        store.show_columns(compared_parameters(values))

    def _inherited(self, store: MLflowStore) -> dict[str, str]:
        """The values, and of the parent run what is unknown here."""
        from mlflow.exceptions import MlflowException

        if not self.parent or UNKNOWN not in self.values.values():
            return dict(self.values)
        try:
            known = store.client.get_run(self.parent).data.params
        except MlflowException as error:
            if error.error_code not in NO_SUCH_RUN:
                raise
            known = {}
        return {name: known.get(name, UNKNOWN) if value == UNKNOWN else value for name, value in self.values.items()}


@dataclass(frozen=True)
class Tags(Operation):
    """Tags of the run."""

    kind = "tags"
    values: dict[str, str]

    def write(self, store: MLflowStore) -> None:
        from mlflow.entities import RunTag

        tags = [RunTag(name, value) for name, value in self.values.items()]
        for portion in _portions(tags, ITEMS_PER_REQUEST):
            store.client.log_batch(store.run_id, tags=portion)


@dataclass(frozen=True)
class DatasetInput(Operation):
    """A data set that the run reads; see :func:`~monai_ext.tracking.provenance.dataset_input`."""

    kind = "dataset"
    context: str
    name: str
    digest: str
    profile: str

    def write(self, store: MLflowStore) -> None:
        from mlflow import entities

        dataset = entities.Dataset(
            name=self.name, digest=self.digest, source_type="local", source="{}", profile=self.profile
        )
        context = entities.InputTag("mlflow.data.context", self.context)
        store.client.log_inputs(store.run_id, datasets=[entities.DatasetInput(dataset, [context])])


@dataclass(frozen=True)
class Text(Operation):
    """A text as the artifact ``file``."""

    kind = "text"
    is_file = True
    text: str
    file: str

    def write(self, store: MLflowStore) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(self.file).name
            path.write_text(self.text, encoding="utf-8")
            store.upload(path, str(Path(self.file).parent))


@dataclass(frozen=True)
class Artifact(Operation):
    """A file or a folder as an artifact below ``folder``; it has to stay as it is until it is written."""

    kind = "artifact"
    is_file = True
    path: str
    folder: str = ""

    def write(self, store: MLflowStore) -> None:
        store.upload(Path(self.path), self.folder)


@dataclass(frozen=True)
class Picture(Operation):
    """A PNG or JPEG file with a step: MLflow's page shows all steps of a name with a slider."""

    kind = "picture"
    is_file = True
    path: str
    name: str
    step: int
    time: int = field(default_factory=milliseconds)

    def write(self, store: MLflowStore) -> None:
        from PIL import Image

        if store.folder_of_server() is None:
            with Image.open(self.path) as picture:
                store.client.log_image(store.run_id, picture, key=self.name, step=self.step, timestamp=self.time)
        else:
            store.upload(Path(self.path), f"pictures/{self.name}")


@dataclass(frozen=True)
class Model(Operation):
    """A folder in MLflow's model format as a model of the run, and as a version of a registered model if named so.

    The folder is the operation's own (see :func:`~monai_ext.tracking.models.write_mlflow_model`) and is removed when
    MLflow has it. Written again after an outage, it goes on with the model that was begun.
    """

    kind = "model"
    is_file = True
    path: str
    name: str
    registered_name: str | None = None

    def write(self, store: MLflowStore) -> None:
        from mlflow.entities import LoggedModelOutput
        from mlflow.models import Model as Description

        folder = Path(self.path)
        if not (folder / "MLmodel").is_file():
            raise RefusedOperation(f"{folder.name} does not hold an MLflow Model any more")
        model = self._begun(store)
        description = Description.load(str(folder))
        description.run_id, description.model_id = store.run_id, model.model_id
        description.save(str(folder / "MLmodel"))
        store.upload_model(model, folder)
        store.client.finalize_logged_model(model.model_id, "READY")
        store.client.log_outputs(store.run_id, [LoggedModelOutput(model.model_id, step=0)])
        if self.registered_name is not None:
            self._register(store, model, self.registered_name)
        shutil.rmtree(folder, ignore_errors=True)

    def _begun(self, store: MLflowStore) -> Any:
        """The model that a failed attempt has left, or a new one."""
        mine = f"source_run_id = '{store.run_id}' AND name = '{self.name}'"
        for model in store.client.search_logged_models([store.experiment_id], filter_string=mine):
            if not model.is_ready():
                return model
        return store.client.create_logged_model(store.experiment_id, name=self.name, source_run_id=store.run_id)

    def _register(self, store: MLflowStore, model: Any, name: str) -> None:
        """A server finds the model by its id; a database would look for it where MLflow's global setting points."""
        from mlflow.exceptions import MlflowException

        try:
            store.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        in_database = database_file(store.tracking_uri) is not None
        store.client.create_model_version(
            name,
            source=model.artifact_location if in_database else f"models:/{model.model_id}",
            run_id=store.run_id,
            model_id=model.model_id,
            await_creation_for=0,
        )


@dataclass(frozen=True)
class NestedRun(Operation):
    """A run below this one that is over already: what a part of the work came to.

    Written again after an outage, it goes on with the run that was begun, which has its ``key``.
    """

    kind = "nested"
    key: str
    name: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    start_time: int
    end_time: int

    def write(self, store: MLflowStore) -> None:
        from mlflow.entities import Metric, RunStatus

        parent = {"mlflow.parentRunId": str(store.run_id)}
        run = store.run_of(self.key) or store.make_run(
            self.key, start_time=self.start_time, tags={**self.tags, **parent}, run_name=self.name
        )
        if RunStatus.is_terminated(RunStatus.from_string(run.info.status)):
            return
        points = [Metric(name, float(value), self.end_time, 0) for name, value in self.metrics.items()]
        for portion in _portions(points, METRICS_PER_REQUEST):
            store.client.log_batch(run.info.run_id, metrics=portion)
        store.client.set_terminated(run.info.run_id, end_time=self.end_time)
        store.show_columns(compared_cells(self.tags, self.metrics))


@dataclass(frozen=True)
class EndRun(Operation):
    """The run's status, what may be said of the error, and when it ended."""

    kind = "end"
    status: str
    error: str = ""
    time: int = field(default_factory=milliseconds)

    def write(self, store: MLflowStore) -> None:
        if self.error:
            store.client.set_tag(store.run_id, "monai_ext.error", self.error)
        store.client.set_terminated(store.run_id, status=self.status, end_time=self.time)


_OF_KIND: dict[str, type[Operation]] = {operation.kind: operation for operation in Operation.__subclasses__()}


def operation_of(kind: str, content: Any) -> Operation:
    """The operation that waits as ``[kind, content]``.

    Raises:
        KeyError, TypeError: there is no such kind, or it has other fields.
    """
    operation = _OF_KIND[kind]
    return operation(**content) if len(fields(operation)) > 1 else operation(content)  # type: ignore[arg-type,call-arg]


def _portions(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
