"""CT phantoms: patients made by formula, so that everything can be tried without a patient's data.

Chest, abdomen and head are painted slice by slice from solids with the Hounsfield units of their tissues, then given
the sharpness and the grain of a reconstruction kernel. They are made to look and behave like CT, not to be measured.
"""

from monai_ext.data.phantoms.acquisition import KERNELS, Kernel, acquire
from monai_ext.data.phantoms.series import REGIONS, PhantomSeries, phantom_series

__all__ = ["KERNELS", "REGIONS", "Kernel", "PhantomSeries", "acquire", "phantom_series"]
