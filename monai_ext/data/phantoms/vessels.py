"""Branching vessels inside an organ."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from monai_ext.data.phantoms.tubes import Tubes

__all__ = ["vessel_tree"]


def vessel_tree(
    rng: np.random.Generator,
    *,
    root: Sequence[float],
    targets: np.ndarray,
    radius_mm: float,
    generations: int,
    inside: Callable[[np.ndarray], np.ndarray],
) -> Tubes:
    """Grow a tree from ``root``: one main branch towards each target, each forking ``generations`` times.

    Radii follow Murray's law with a slight asymmetry (r^3 of the parent is the sum of the children's); pieces get
    shorter with each fork and stop at the organ's surface.

    Args:
        rng: source of directions.
        root: x, y, z in mm.
        targets: ends of the main branches, (n, 3) in mm.
        radius_mm: radius of a main branch.
        generations: forks between root and twigs.
        inside: which of the points (n, 3) belong to the organ, (n,) boolean.
    """
    start = np.broadcast_to(np.asarray(root, dtype=np.float64), np.shape(targets))
    way = targets - start
    length = 0.36 * np.linalg.norm(way, axis=1)
    direction = way / np.linalg.norm(way, axis=1, keepdims=True)
    radius = np.full(len(way), radius_mm)
    pieces = []
    for _ in range(generations + 1):
        end = start + direction * length[:, None]
        share = rng.uniform(0.35, 0.65, size=len(end))
        children = radius[:, None] * np.stack([share, 1 - share], axis=1) ** (1 / 3)
        pieces.append((start, end, radius, children.max(axis=1)))
        grows = inside(end)
        across = np.cross(direction[grows], rng.standard_normal((int(grows.sum()), 3)))
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        start, radius = np.repeat(end[grows], 2, axis=0), children[grows].ravel()
        tilt = rng.uniform(0.25, 0.8, size=len(start)) * np.tile([1, -1], len(across))
        turned = np.repeat(across, 2, axis=0) * np.sin(tilt)[:, None]
        direction = np.repeat(direction[grows], 2, axis=0) * np.cos(tilt)[:, None] + turned
        length = np.repeat(length[grows], 2) * rng.uniform(0.68, 0.92, size=len(start))
    return Tubes(*(np.concatenate(column) for column in zip(*pieces, strict=True)))
