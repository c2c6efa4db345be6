"""The server's part: agree, then train, average and judge round by round, with whoever is left."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from monai_ext.errors import FederationError
from monai_ext.federated.agreement import SiteDescription, check_agreement
from monai_ext.federated.answer import Answer
from monai_ext.federated.plan import FederatedPlan
from monai_ext.federated.record import FederatedRecord
from monai_ext.federated.shared_state import average_states, fault_of
from monai_ext.foreign_text import listed, printable

__all__ = ["Ask", "train_in_rounds"]

logger = logging.getLogger(__name__)

_SILENT = "it did not answer"


class Ask(Protocol):
    """Sends a task to sites and waits for their answers; a site that is lost is not in what comes back.

    Tasks are ``"describe"``, ``"train"`` and ``"validate"``. A site that has not described itself yet is told the plan
    and its number by ``details``.
    """

    def __call__(
        self, task: str, sites: Sequence[str], *, weights: Mapping[str, Tensor], details: Mapping[str, Any]
    ) -> Mapping[str, Answer]: ...


def train_in_rounds(
    plan: FederatedPlan,
    sites: Sequence[str],
    ask: Ask,
    *,
    first: Mapping[str, Tensor],
    job: SiteDescription,
    record: FederatedRecord,
    min_sites: int = 1,
) -> dict[str, Tensor]:
    """Train at all sites and give the averaged weights of the last round.

    A site that is lost, fails, or answers with weights that cannot be averaged is left out from then on, with a line in
    the log and in the record; the training goes on with the others.

    Args:
        plan: of the training.
        sites: names of those that take part.
        ask: carries messages.
        first: weights that round 1 starts from.
        job: what the sites have to agree with.
        record: keeps what happened, after each round.
        min_sites: with fewer sites than this the training ends.

    Raises:
        FederationError: sites do not agree, or too few are left.
    """
    server = _Server(sorted(sites), ask, record=record, min_sites=min_sites)
    descriptions = server.describe(plan)
    check_agreement(descriptions, job)
    record.begin({site: description.images for site, description in descriptions.items()})
    weights = dict(first)
    for number in range(1, plan.rounds + 1):
        weights = server.train(number, weights)
        metrics = server.validate(number, weights)
        record.end_round(number, weights, metrics)
        logger.info("Round %d of %d: averaged %s.%s", number, plan.rounds, listed(server.trained), record.summary())
    record.finish()
    return weights


class _Server:
    """The sites that are left, and how they are asked."""

    def __init__(self, sites: list[str], ask: Ask, *, record: FederatedRecord, min_sites: int) -> None:
        self.sites = sites
        self.trained: list[str] = []
        self._ask = ask
        self._record = record
        self._min_sites = min_sites

    def describe(self, plan: FederatedPlan) -> dict[str, SiteDescription]:
        details = {site: number for number, site in enumerate(self.sites)}
        answers = self._asked("describe", 0, {}, {"plan": plan.as_plain(), "numbers": details})
        return {site: SiteDescription.from_plain(answer.description) for site, answer in answers.items()}

    def train(self, number: int, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        answers = self._asked("train", number, weights, {"round": number})
        images = {site: answer.images for site, answer in answers.items()}
        self.trained = sorted(answers)
        self._record.trained(number, images, {site: answer.metrics for site, answer in answers.items()})
        return average_states({site: answer.weights for site, answer in answers.items()}, images)

    def validate(self, number: int, weights: Mapping[str, Tensor]) -> dict[str, Mapping[str, float]]:
        answers = self._asked("validate", number, weights, {"round": number})
        return {site: answer.metrics for site, answer in answers.items()}

    def _asked(
        self, task: str, number: int, weights: Mapping[str, Tensor], details: Mapping[str, Any]
    ) -> dict[str, Answer]:
        """Answers that can be used; who has none is left out from now on."""
        answers = self._ask(task, self.sites, weights=weights, details=details)
        usable: dict[str, Answer] = {}
        for site in self.sites:
            reason = _SILENT if site not in answers else answers[site].failure or _fault(task, answers[site], weights)
            if reason:
                self._lose(site, task, number, printable(reason))
            else:
                usable[site] = answers[site]
        self.sites = sorted(usable)
        if len(self.sites) < self._min_sites:
            raise FederationError(
                f"The training ended in round {number}: {len(self.sites)} sites are left of at least"
                f" {self._min_sites} (min_sites). The weights of the last complete round are kept. Look into the logs"
                " of the sites, and start again when they are there."
            )
        return usable

    def _lose(self, site: str, task: str, number: int, reason: str) -> None:
        logger.warning(
            "%s is lost in round %d while it was to %s: %s. The training goes on without it.",
            site,
            number,
            task,
            reason,
        )
        self._record.lost(number, site, f"{task}: {reason}")


def _fault(task: str, answer: Answer, weights: Mapping[str, Tensor]) -> str:
    if task != "train":
        return ""
    return "it has no training images" if answer.images < 1 else fault_of(answer.weights, weights)
