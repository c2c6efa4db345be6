"""Draw metrics of MLflow runs over the images they had seen, and print their first and last values as a table.

python scripts/plot_runs.py byol_pretrain moco_v2_pretrain --metrics loss val_loss --output curves.png

Of each bundle the newest finished run is taken, unless a run's id is given in its place.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException


def find_run(client: MlflowClient, name: str) -> Run:
    """The run of this id, or the newest finished training of the bundle of this name.

    Raises:
        SystemExit: there is neither.
    """
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    finished = f"attributes.status = 'FINISHED' and tags.`monai_ext.bundle` = '{name}'"
    runs = client.search_runs(experiments, finished, order_by=["attributes.start_time DESC"])
    trainings = [run for run in runs if "loss" in run.data.metrics]
    if trainings:
        return trainings[0]
    try:
        return client.get_run(name)
    except MlflowException:
        sys.exit(f"There is no finished training of {name!r}, and no such run, in {client.tracking_uri}.")


def curve(client: MlflowClient, run: Run, metric: str) -> pd.Series:
    """Values of a metric by images seen; empty where the run does not have it."""
    history = client.get_metric_history(run.info.run_id, metric)
    batch_size = int(run.data.params["batch_size"])
    values = {point.step * batch_size: point.value for point in sorted(history, key=lambda point: point.step)}
    return pd.Series(values, name=metric, dtype=float)


def draw(curves: dict[str, dict[str, pd.Series]], metrics: list[str], path: Path) -> None:
    """A panel for each metric, a line for each run; what every step has is smoothed over 20 steps."""
    columns = min(3, len(metrics))
    rows = -(-len(metrics) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.6 * columns, 3.2 * rows), squeeze=False, layout="constrained")
    for axis, metric in zip(axes.flat, metrics, strict=False):
        for name, of_run in curves.items():
            values = of_run[metric]
            if len(values) > 100:
                values = values.rolling(20, min_periods=1).mean()
            axis.plot(values.index, values, marker="." if len(values) < 20 else None, label=name)
        axis.set(title=metric, xlabel="images seen")
        axis.locator_params(axis="x", nbins=5)
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(curves))
    for axis in axes.flat[len(metrics) :]:
        axis.remove()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="bundles or run ids")
    parser.add_argument("--metrics", nargs="+", required=True)
    parser.add_argument("--tracking-uri", help="where the runs are; MLFLOW_TRACKING_URI or ./mlflow.db without it")
    parser.add_argument("--output", type=Path, required=True, help="the PNG file")
    options = parser.parse_args()
    client = MlflowClient(options.tracking_uri or ("sqlite:///mlflow.db" if Path("mlflow.db").exists() else None))
    runs = {name.removesuffix("_pretrain"): find_run(client, name) for name in options.runs}
    curves = {name: {metric: curve(client, run, metric) for metric in options.metrics} for name, run in runs.items()}
    draw(curves, options.metrics, options.output)
    table = pd.DataFrame(
        {
            metric: {
                name: f"{of_run[metric].iloc[0]:.4g} -> {of_run[metric].iloc[-1]:.4g}" if len(of_run[metric]) else "-"
                for name, of_run in curves.items()
            }
            for metric in options.metrics
        }
    )
    sys.stdout.write(table.to_string() + "\n")


if __name__ == "__main__":
    main()
