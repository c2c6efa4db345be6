"""A network as one graph of PyTorch's own operators, which runs without the code that it was written in."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

__all__ = ["export_program", "without_source_places"]

_PLACES = ("stack_trace", "source_fn_stack", "from_node")


def export_program(network: nn.Module, example: Tensor) -> ExportedProgram:
    """The program of a network in evaluation mode, for batches of any size, without places of this machine.

    Args:
        network: takes one tensor (B, ...).
        example: at least two samples: a batch of one would become a constant.
    """
    batches = {0: torch.export.Dim("batch", min=1)}
    return without_source_places(torch.export.export(network, (example,), dynamic_shapes=(batches,)))


def without_source_places(program: ExportedProgram) -> ExportedProgram:
    """The same program; PyTorch keeps for each operator the files and lines that called it, with their folders."""
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                for name in _PLACES:
                    node.meta.pop(name, None)
    return program
