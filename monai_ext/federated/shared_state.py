"""What of a network leaves a site, and how the server makes one network of several."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from monai_ext.networks.momentum_queue import MomentumQueue
from monai_ext.parallel.processes import unwrap

__all__ = ["average_states", "fault_of", "shared_state"]

_MEAN, _VARIANCE = "running_mean", "running_var"


def shared_state(network: nn.Module) -> dict[str, Tensor]:
    """Copies on the CPU of everything in a network's state dict, but for queues.

    A queue (MoCo, SwAV) holds the projected features of single images, with their numbers: it stays at its site, and is
    no parameter that an average would mean anything for. Teachers (BYOL, MoCo) are shared: they are averages of the
    online network's past, and the average of averages is one too.

    Args:
        network: as it is trained; of a wrapped one what is in it.
    """
    network = unwrap(network)
    queues = [name for name, module in network.named_modules() if isinstance(module, MomentumQueue)]
    return {
        name: value.detach().to("cpu", copy=True)
        for name, value in network.state_dict().items()
        if not any(name.startswith(f"{queue}.") for queue in queues)
    }


def fault_of(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """Why a state dict cannot be averaged with others, as the end of a sentence; empty where it can.

    >>> fault_of({"a": torch.zeros(2)}, {"a": torch.zeros(3)})
    'its entry a has shape (2,) instead of (3,)'
    """
    if state.keys() != expected.keys():
        missing, extra = expected.keys() - state.keys(), state.keys() - expected.keys()
        return f"its weights lack {len(missing)} entries and have {len(extra)} that the network has not"
    for name, value in expected.items():
        if state[name].shape != value.shape:
            return f"its entry {name} has shape {tuple(state[name].shape)} instead of {tuple(value.shape)}"
        if state[name].dtype != value.dtype:
            return f"its entry {name} is {state[name].dtype} instead of {value.dtype}"
        if value.is_floating_point() and not state[name].isfinite().all():
            return f"its entry {name} holds values that are not finite"
    return ""


def average_states(states: Mapping[str, Mapping[str, Tensor]], images: Mapping[str, int]) -> dict[str, Tensor]:
    r"""The average of the sites' networks, weighted by their images (FedAvg, McMahan et al. 2017, algorithm 1).

    Batch-norm statistics become those of all images together: with the weights p of the sites, means m and variances v,

    .. math:: m = \sum p_i m_i, \qquad v = \sum p_i (v_i + m_i^2) - m^2

    where the plain mean of variances would leave out how far the sites' means are apart. Counters, which are integers,
    become the largest one. Sums are taken in double precision, in the order of the sites' names, so that the result
    does not depend on who answered first.

    Args:
        states: state dicts of the sites by name, all with the same entries, see :func:`fault_of`.
        images: of each site, at least one.

    Example:
        >>> average_states({"a": {"w": torch.tensor([0.0])}, "b": {"w": torch.tensor([4.0])}}, {"a": 3, "b": 1})
        {'w': tensor([1.])}
    """
    sites = sorted(states)
    total = sum(images[site] for site in sites)
    shares = {site: images[site] / total for site in sites}
    return {name: _averaged(name, states, shares) for name in states[sites[0]]}


def _averaged(name: str, states: Mapping[str, Mapping[str, Tensor]], shares: Mapping[str, float]) -> Tensor:
    first = next(iter(states.values()))[name]
    if not first.is_floating_point():
        return torch.stack([states[site][name] for site in shares]).amax(dim=0)
    prefix = name.removesuffix(_VARIANCE)
    mean_name = f"{prefix}{_MEAN}"
    if prefix == name or mean_name not in next(iter(states.values())):
        return _mean(name, states, shares).to(first.dtype)
    mean = _mean(mean_name, states, shares)
    total = torch.zeros_like(mean)
    for site, share in shares.items():
        total += share * (states[site][name].double() + (states[site][mean_name].double() - mean) ** 2)
    return total.to(first.dtype)


def _mean(name: str, states: Mapping[str, Mapping[str, Tensor]], shares: Mapping[str, float]) -> Tensor:
    total = torch.zeros_like(next(iter(states.values()))[name], dtype=torch.float64)
    for site, share in shares.items():
        total += share * states[site][name].double()
    return total
