"""What tracking costs a training: in its own thread, and in the background thread that writes to an SQLite database.

    python benchmarks/tracking_cost.py --iterations 1000 --milliseconds 20

An iteration is a fixed amount of arithmetic in PyTorch. Trainings with a point at every iteration (the worst case) and
with a point every 50 alternate. All numbers are processor time, which other programs on the machine do not change much;
the opening and the end of a run are left out.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time

import torch
from ignite.engine import Engine, Events

from monai_ext.tracking import MLflowTracker


class TimedTracker(MLflowTracker):
    """Adds up the processor time that the training's thread spends in the handler of an iteration."""

    seconds = 0.0

    def _log_iteration(self, engine: Engine) -> None:
        start = time.thread_time()
        super()._log_iteration(engine)
        self.seconds += time.thread_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=1000, help="of each training")
    parser.add_argument("--milliseconds", type=float, default=20.0, help="about what an iteration takes by itself")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("ignite").setLevel(logging.CRITICAL)
    matrix = torch.rand(128, 128)
    rounds = _calibrate(matrix, options.milliseconds)
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        for _ in range(options.repeats):
            for every in (1, 50):
                tracker = TimedTracker("benchmark", tracking_uri=uri, every_iterations=every)
                own, other = _train(tracker, matrix, rounds, options.iterations)
                print(
                    f"a point every {every:2d}: {1e6 * tracker.seconds / options.iterations:5.1f} us in the training's "
                    f"thread and {1e6 * other:6.1f} us in the background an iteration of {1e3 * own:.1f} ms"
                )


def _calibrate(matrix: torch.Tensor, milliseconds: float) -> int:
    start = time.perf_counter()
    _work(matrix, 200)
    return max(1, round(200 * milliseconds / 1e3 / (time.perf_counter() - start)))


def _work(matrix: torch.Tensor, rounds: int) -> torch.Tensor:
    for _ in range(rounds):
        result = matrix @ matrix
    return result.mean()


def _train(tracker: MLflowTracker, matrix: torch.Tensor, rounds: int, iterations: int) -> tuple[float, float]:
    """Processor seconds an iteration takes in this thread and in all others, from the second iteration on."""
    engine = Engine(lambda engine, batch: {"loss": _work(matrix, rounds)})
    engine.optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=0.1)
    tracker.attach(engine)
    clocks: list[tuple[float, float]] = []
    engine.add_event_handler(
        Events.ITERATION_COMPLETED, lambda: clocks.append((time.thread_time(), time.process_time()))
    )
    engine.run(range(iterations), max_epochs=1)
    own, whole = ((last - first) / (iterations - 1) for first, last in zip(clocks[0], clocks[-1], strict=True))
    return own, whole - own


if __name__ == "__main__":
    main()
