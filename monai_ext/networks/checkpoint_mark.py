"""How a pre-training method's checkpoints are told from those of others."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CheckpointMark"]


@dataclass(frozen=True)
class CheckpointMark:
    """Where the encoder lies in a kind of checkpoint, and by what that kind is known.

    A method lists its kinds as ``checkpoint_marks``, in its own file; :func:`~monai_ext.networks.weights.load_encoder`
    goes through the methods of :mod:`monai_ext.networks`. Of several kinds that fit, the one with most ``beside`` is
    taken, so that a method whose entries another one has as well can be told from it.

    Args:
        layout: what kind of file it is, for people.
        prefix: what stands before the encoder's names.
        beside: beginnings of names that lie beside the encoder, all of which must be there.
    """

    layout: str
    prefix: str
    beside: tuple[str, ...]
