"""Time and peak memory of one SparK training step on volumes: masked-dense execution against active blocks.

What ``spark_step.py`` measures of slices, of cubes of 96 voxels a side by default, one channel, with the encoder and
the decoder of ``bundles/spark_pretrain/configs/volumes.json``. A cube of 96 voxels has 27 patches, of which 11 are
visible.

    python benchmarks/spark_3d.py --threads 1
    python benchmarks/spark_3d.py --threads 1 --parts
    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 python benchmarks/spark_3d.py --threads 1
"""

from __future__ import annotations

from spark_step import compare, parser


def main() -> None:
    options = parser(__doc__, batch=[2], repeats=3, width=384, size=96)
    options.set_defaults(spatial_dims=3, channels=1)
    compare(options.parse_args())


if __name__ == "__main__":
    main()
