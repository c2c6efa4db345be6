import nibabel
import numpy as np

from monai_ext.data.phantoms.segmented import embedded_segmented_sample


def test_marks_lie_where_ground_glass_is():
    folder = embedded_segmented_sample()
    shares, differences = [], []
    for path in sorted((folder / "images").glob("*.nii.gz"))[:4]:
        scan, mask = (np.asarray(nibabel.load(folder / name / path.name).dataobj) for name in ("images", "masks"))
        assert scan.dtype == np.int16
        assert set(np.unique(mask)) == {0, 1}
        shares.append(mask.mean())
        lung = (scan < -600) & (scan > -1000)
        differences.append(np.median(scan[mask == 1]) - np.median(scan[lung & (mask == 0)]))
    assert 0.001 < np.mean(shares) < 0.2
    assert np.mean(differences) > 60


def test_the_sample_is_made_once():
    assert embedded_segmented_sample() == embedded_segmented_sample()
