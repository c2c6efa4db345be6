"""How a cell is computed: by fine-tuning, from features, or by pre-training an encoder."""

from monai_ext.study.protocols.cell_run import run_cell

__all__ = ["run_cell"]
