"""Follow trainings and evaluations in MLflow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from monai_ext.parallel.processes import process_rank
from monai_ext.running_config import running_config_folder
from monai_ext.tracking.columns import as_table, describe_run, headline, name_columns
from monai_ext.tracking.models import check_registered_name, write_mlflow_model
from monai_ext.tracking.operations import Artifact, Metrics, Operation, Parameters, Picture, Tags, Text
from monai_ext.tracking.provenance import (
    bundle_tags,
    dataset_input,
    flat_parameters,
    installed_packages,
    merged_config,
    source_tags,
    version_tags,
    without_places,
)
from monai_ext.tracking.run import TrackedRun
from monai_ext.tracking.training_metrics import TrainingMetrics, images_seen, scalars

__all__ = ["MLflowTracker"]


class MLflowTracker:
    """One MLflow run for one training, with everything that is needed to compare it and to make it again.

    Attached to a trainer (ours, MONAI's or any Ignite engine) it opens a run when training starts and ends it as
    FINISHED, as FAILED with what may be told of the error, or as KILLED after Ctrl-C, SIGTERM or SIGHUP. Attached to
    MONAI evaluators as well, it logs their metrics at the trainer's iteration; attached to an evaluator only, the
    evaluation is a run of its own.

    A run is always new, unless the training itself is continued: from ``run_id``, from :meth:`load_state_dict`, or from
    ``state.mlflow_run_id`` of a trainer that does not start at iteration 0. Writing happens in a background thread; a
    store that does not answer neither stops nor slows the training. In a distributed run only the first process writes.

    Attach it after handlers that resume, so that it knows, and before those that raise on ``EXCEPTION_RAISED`` (MONAI's
    ``StatsHandler`` and ``CheckpointSaver``), so that it hears of a failure.

    Args:
        experiment: MLflow experiment; made when missing.
        parameters: what a person changes; nested ones are flattened. What was left to ``"auto"`` is logged as what it
            became, and so are the engine's precision and memory format.
        config: the whole configuration, as content or files; None takes that of the bundle which is being run.
        datasets: by their use, such as ``{"training": dataset}``; ``fingerprint`` and ``describe()`` are logged.
        bundle_root: folder of the bundle, for its name and version; that of the config which is being run when omitted.
        run_id: run to continue.
        parent_run_id: run that this one builds upon: the pre-training of a fine-tuning, the training of an evaluation.
        run_name: when omitted, it says what ran: method, backbone, image size and budget; see
            :func:`~monai_ext.tracking.columns.describe_run`. MLflow invents one where nothing is known.
        output_dir: folder of the training's results; what cannot be delivered waits there. A training that has one
            leaves its network as an MLflow Model, see :func:`~monai_ext.tracking.models.write_mlflow_model`.
        register: name in MLflow's registry, of which that model becomes the next version; None registers nothing.
        every_iterations: iterations between points of loss and rates; None gives at most 20,000 points.
        tracking_uri: where ``MLFLOW_TRACKING_URI`` is not set; None is ``mlflow.db`` in the repository's root.
        enabled: False follows nothing and logs nothing.
    """

    def __init__(
        self,
        experiment: str,
        *,
        parameters: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | Sequence[str] | str | None = None,
        datasets: Mapping[str, Any] | None = None,
        bundle_root: str | None = None,
        run_id: str | None = None,
        parent_run_id: str | None = None,
        run_name: str | None = None,
        output_dir: str | None = None,
        register: str | None = None,
        every_iterations: int | None = None,
        tracking_uri: str | None = None,
        enabled: bool = True,
    ) -> None:
        if every_iterations is not None and every_iterations < 1:
            raise ValueError(f"every_iterations must be at least 1, or None; received {every_iterations}.")
        if not isinstance(enabled, bool):
            raise ValueError(
                f"enabled is True or False, with a capital letter on the command line; received {enabled!r}."
            )
        check_registered_name(register)
        self.experiment = experiment
        self.enabled = enabled
        self.parameters = dict(parameters or {})
        self.config = merged_config(config)
        self.datasets = dict(datasets or {})
        configs = running_config_folder()
        self.bundle_root = str(configs.parent) if bundle_root is None and configs is not None else bundle_root
        self.parent_run_id = parent_run_id
        self.run_name = run_name
        self.tracking_uri = tracking_uri
        self.output_dir = output_dir
        self.register = register
        self._resume = run_id
        self._run: TrackedRun | None = None
        self._owner: Engine | None = None
        self._metrics = TrainingMetrics(every_iterations=every_iterations)
        self._logged_at: dict[str, int] = {}
        self._encoder: str | None = None
        self._guarded: set[int] = set()
        self._prefix = ""

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the present or last run; None before it, and as long as the store has not answered."""
        return None if self._run is None else self._run.run_id

    def state_dict(self) -> dict[str, str]:
        """What a checkpoint needs to continue the run."""
        return {"run": self._resume or "" if self._run is None else self._run.reference}

    def load_state_dict(self, state_dict: Mapping[str, str]) -> None:
        """Continue the run of a checkpoint when training starts."""
        self._resume = state_dict["run"] or None

    def attach(self, engine: Engine) -> None:
        """Follow a trainer or an evaluator; nothing happens in processes other than the first."""
        from monai.engines import Evaluator

        if not self.enabled or process_rank() > 0:
            return
        if isinstance(engine, Evaluator):
            if self._owner is None:
                self._owner = engine
            engine.add_event_handler(Events.STARTED, self._start)
            engine.add_event_handler(Events.COMPLETED, self._log_evaluation)
        else:
            self._owner = engine
            self._attach_to_trainer(engine)
        engine.add_event_handler(Events.TERMINATE, self._terminated)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def log(self, operation: Operation) -> None:
        """Write an operation to the run that is open, or do nothing."""
        if self._run is not None and self._run.is_open:
            self._run.log(operation)

    def log_metrics(self, metrics: Mapping[str, Any], *, step: int | None = None) -> None:
        """Log values, at the training's present iteration where no step is named."""
        self.log(Metrics.at_step(scalars(metrics), self._step() if step is None else step))

    def log_picture(self, path: str | Path, *, name: str, step: int | None = None) -> None:
        """Log a PNG or JPEG file; pictures of one name are shown with a slider over the steps."""
        self.log(Picture(str(Path(path).resolve()), name, self._step() if step is None else step))

    def log_artifact(self, path: str | Path, *, folder: str = "") -> None:
        """Log a file or a folder; it must stay as it is until the run has ended."""
        self.log(Artifact(str(Path(path).resolve()), folder))

    def log_json(self, content: Any, *, file: str) -> None:
        """Log a value as a JSON artifact, without the places that it names; what JSON does not know becomes text."""
        self.log(Text(json.dumps(without_places(content), indent=2, default=str), file))

    @contextmanager
    def naming(self, prefix: str) -> Iterator[None]:
        """Log evaluations inside the context as judgements of their own: ``best_auc``, ``best_auc_low`` ..."""
        before, self._prefix = self._prefix, prefix
        try:
            yield
        finally:
            self._prefix = before

    def _attach_to_trainer(self, engine: Engine) -> None:
        from monai_ext.engines.events import PretrainingEvents

        engine.register_events(*PretrainingEvents)
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_STARTED, self._metrics.restart_clock)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._log_iteration)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._log_epoch)
        engine.add_event_handler(PretrainingEvents.VALIDATION_COMPLETED, self._log_validation)
        engine.add_event_handler(PretrainingEvents.PICTURES_WRITTEN, self._log_pictures)
        engine.add_event_handler(PretrainingEvents.ENCODER_EXPORTED, self._note_encoder)

    def _start(self, engine: Engine) -> None:
        from monai_ext.engines.automatic_choices import automatic_choices, settled

        self._make_last(engine)
        if engine is not self._owner:
            return
        state: Any = engine.state
        if self._resume is None and state.iteration > 0:
            self._resume = getattr(state, "mlflow_run_id", None)
        bundle = None if self.bundle_root is None else Path(self.bundle_root).resolve().name
        settings_of_engine = {**automatic_choices(engine), **settled(self.parameters, engine)}
        columns = name_columns(
            settings_of_engine, engine=engine, bundle=bundle, datasets=self.datasets, parent_run_id=self.parent_run_id
        )
        run = TrackedRun(
            self.experiment,
            run_name=self.run_name or describe_run(columns, self.parameters),
            tracking_uri=self.tracking_uri,
            resume=self._resume,
            tags=self._tags(),
            spool_dir=self.output_dir,
        )
        self._run = run  # before it is open: a signal may come while MLflow is waited for
        run.open()
        self._resume = None
        self._logged_at.clear()
        self._metrics.start(engine)
        state.mlflow_run_id = run.reference
        self._log_beginning(engine, {**settings_of_engine, **columns})

    def _make_last(self, engine: Engine) -> None:
        """Register what must come after all other handlers, now that they are attached."""
        if id(engine) not in self._guarded:
            self._guarded.add(id(engine))
            engine.add_event_handler(Events.COMPLETED, self._finish)
            engine.add_event_handler(Events.EXCEPTION_RAISED, self._raise_again)

    def _tags(self) -> dict[str, str]:
        tags = {**source_tags(), **version_tags(), **bundle_tags(self.bundle_root)}
        if self.parent_run_id:
            tags |= {"monai_ext.parent_run_id": self.parent_run_id, "mlflow.parentRunId": self.parent_run_id}
        return tags

    def _log_beginning(self, engine: Engine, parameters: Mapping[str, Any]) -> None:
        values = flat_parameters(without_places(parameters))
        self.log(Parameters(values, engine.state.iteration, self.parent_run_id or ""))
        for context, dataset in self.datasets.items():
            used = dataset_input(context, dataset)
            if used is not None:
                self.log(used)
                self.log(Tags({f"monai_ext.dataset.{context}": used.digest}))
        if self.config is not None:
            self.log_json(self.config, file="config.json")
        self.log(Text(installed_packages(), "packages.txt"))

    def _log_iteration(self, engine: Engine) -> None:
        point = self._metrics.add(engine)
        if point is not None and self._run is not None:
            self.log(point)
            engine.state.mlflow_run_id = self._run.reference  # type: ignore[attr-defined]

    def _log_epoch(self, engine: Engine) -> None:
        """Log metrics of the training data; those of held-out data stay in the state and would be logged again."""
        fresh = {name: value for name, value in scalars(engine.state.metrics).items() if name not in self._logged_at}
        if fresh:
            self.log_metrics({**fresh, "epoch": engine.state.epoch})

    def _log_validation(self, engine: Engine) -> None:
        self._log_once(engine.state.metrics)

    def _log_evaluation(self, engine: Engine) -> None:
        """Log a judgement under names of its own; an evaluation while training is a point of a curve."""
        metrics = scalars(engine.state.metrics)
        section = self.parameters.get("section")
        prefix = self._prefix or (f"{section}_" if section and engine is self._owner else "")
        if not prefix or self._run is None:
            self._log_once(headline(metrics))
            return
        self.log_metrics({f"{prefix}{name}": value for name, value in headline(metrics).items()})
        self.log(Tags({"mlflow.note.content": as_table(metrics, title=prefix.rstrip("_"))}))

    def _log_once(self, metrics: Mapping[str, Any]) -> None:
        """Log metrics of held-out data, unless the evaluator and the trainer both have them."""
        step = self._step()
        fresh = {name: value for name, value in scalars(metrics).items() if self._logged_at.get(name) != step}
        self._logged_at.update(dict.fromkeys(fresh, step))
        if not fresh:
            return
        seen = None if self._owner is None else images_seen(self._owner)
        self.log_metrics(fresh if seen is None else {**fresh, "images_seen": seen})

    def _log_pictures(self, engine: Engine) -> None:
        state: Any = engine.state
        self.log_picture(state.pictures, name=re.sub(r"_\d+$", "", Path(state.pictures).stem))

    def _note_encoder(self, engine: Engine) -> None:
        state: Any = engine.state
        self._encoder = state.encoder_path

    def _step(self) -> int:
        return 0 if self._owner is None else int(self._owner.state.iteration)

    def _terminated(self, engine: Engine) -> None:
        """Ignite goes on to COMPLETED after TERMINATE, unless it was told to skip that."""
        if engine.should_terminate == "skip_completed":
            self._finish(engine)

    def _finish(self, engine: Engine) -> None:
        if engine is self._owner:
            self._close(engine)

    def _fail(self, engine: Engine, error: BaseException) -> None:
        if engine is self._owner:
            self._close(engine, error)
        if id(engine) not in self._guarded:
            raise error

    def _raise_again(self, engine: Engine, error: BaseException) -> None:
        """Ignite drops an exception that a handler has listened to; who trains must hear of it."""
        raise error

    def _close(self, engine: Engine, error: BaseException | None = None) -> None:
        if self._run is None:
            return
        if self._metrics.incomplete:
            self.log(self._metrics.point(engine))
        files: list[Operation] = []
        if self._encoder is not None:
            files.append(Artifact(str(Path(self._encoder).resolve()), "encoder"))
        if error is None and self.output_dir is not None:
            files += write_mlflow_model(
                engine, Path(self.output_dir), settings=self.parameters, registered_name=self.register
            )
        self._run.close(error, last=files)
        self._encoder = None
        engine.state.mlflow_run_id = self._run.reference  # type: ignore[attr-defined]
