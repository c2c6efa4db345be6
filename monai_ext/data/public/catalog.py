"""The public data sets that can be downloaded: where they are, under which terms, and how they are checked."""

from __future__ import annotations

from dataclasses import dataclass

from monai_ext.errors import DatasetError

__all__ = ["CATALOG", "PublicDataset", "RemoteFile", "find_dataset"]


@dataclass(frozen=True)
class RemoteFile:
    """A file on the web; ``md5`` is what its publisher states, empty when nothing is stated."""

    url: str
    name: str
    md5: str = ""


@dataclass(frozen=True)
class PublicDataset:
    """A data set.

    Attributes:
        name: what it is called on the command line.
        title: name and content.
        licence: name of the licence, and what is known and not known about it.
        terms: where the terms can be read.
        citation: what to cite.
        kind: which adapter makes it ready: ``"medmnist"``, ``"covid_ct"``, ``"head_ct"``, ``"nbia"``.
        files: what to download; empty for collections that are asked for over an interface.
        collection: name of the collection in TCIA.
        size: rough size, to be shown before the download.
    """

    name: str
    title: str
    licence: str
    terms: str
    citation: str
    kind: str
    size: str
    files: tuple[RemoteFile, ...] = ()
    collection: str = ""

    def licence_text(self) -> str:
        """What is shown before anything is downloaded."""
        checksums = "MD5 checksums are published and checked."
        if self.collection:
            checksums = "No checksums are stated; the CRC-32 of every image and the number of images are checked."
        elif not all(file.md5 for file in self.files):
            checksums = (
                "The publisher states no checksums: SHA-256 is recorded at the first download (checksums.json), and"
                " a later download must match it."
            )
        return (
            f"{self.title}\n  size:     {self.size}\n  licence:  {self.licence}\n  terms:    {self.terms}\n"
            f"  cite:     {self.citation}\n  check:    {checksums}\n"
        )


_COVID_CT = "https://raw.githubusercontent.com/UCSD-AI4H/COVID-CT/master"
_COVID_CT_LISTS = tuple(
    RemoteFile(f"{_COVID_CT}/Data-split/{label}/{part}CT_{label}.txt", f"Data-split/{part}CT_{label}.txt")
    for label in ("COVID", "NonCOVID")
    for part in ("train", "val", "test")
)

_MEDMNIST_MD5 = {
    "organamnist": {
        28: "68e3f8846a6bd62f0c9bf841c0d9eacc",
        64: "2dcccc29b88e6da5a01161ef20cda288",
        128: "eeae80d0a227a8d099027e1b3cfd3b60",
        224: "50747347e05c87dd3aaf92c49f9f3170",
    },
    "organcmnist": {
        28: "b9ceb9546e10131b32923c5bbeaea2b1",
        64: "3ce34a8724ea6f548e6db4744d03b6a9",
        128: "773c1f009daa3fe5d9a2a201b2a7ed94",
        224: "050f5e875dc056f6768abf94ec9995d1",
    },
    "organsmnist": {
        28: "9ab87b696fb54e2a387ebe992d6ed5f1",
        64: "53a6d115339d874c25e309a994ff46d3",
        128: "ded0c5fa01a95dc4978b956f613e9b8e",
        224: "b354719e553fbbb2513d5533f52a4cb1",
    },
}
"""As stated by the medmnist package, version 3.0.2, for Zenodo record 10519652; sizes in pixels."""

_PLANES = {"organamnist": ("OrganAMNIST", "axial"), "organcmnist": ("OrganCMNIST", "coronal")}
_PLANES["organsmnist"] = ("OrganSMNIST", "sagittal")


def _medmnist(name: str, size: int) -> PublicDataset:
    title, plane = _PLANES[name]
    file = f"{name}.npz" if size == 28 else f"{name}_{size}.npz"
    return PublicDataset(
        name=name if size == 28 else f"{name}_{size}",
        title=f"{title}: 11 organs in {plane} CT crops, {size} x {size} pixels, 8 bit (MedMNIST, from LiTS)",
        licence="CC BY 4.0",
        terms="https://medmnist.com and https://zenodo.org/records/10519652",
        citation="Yang et al., Scientific Data 10, 41 (2023); Bilic et al., Medical Image Analysis 84, 102680 (2023)",
        kind="medmnist",
        size="tens of MB" if size <= 64 else "hundreds of MB to over 1 GB",
        files=(RemoteFile(f"https://zenodo.org/records/10519652/files/{file}?download=1", file, md5),)
        if (md5 := _MEDMNIST_MD5[name][size])
        else (),
    )


_DATASETS = (
    PublicDataset(
        name="lidc",
        title="LIDC-IDRI: 1,018 thoracic CT scans of 1,010 patients, beside DX and CR images (DICOM, TCIA)",
        licence="CC BY 3.0 (as stated by TCIA), with TCIA's data usage policy",
        terms="https://doi.org/10.7937/K9/TCIA.2015.LO9QL9SX and https://www.cancerimagingarchive.net/data-usage-policies",
        citation="Armato et al., Medical Physics 38, 915 (2011); Clark et al., J Digit Imaging 26, 1045 (2013)",
        kind="nbia",
        size="about 125 GB with CT only; --patients and --limit take less",
        collection="LIDC-IDRI",
    ),
    PublicDataset(
        name="covid_ct",
        title="COVID-CT: 349 CT pictures of COVID-19, 397 of other or no disease, with the published split",
        licence="none is stated; the copyright of the pictures is with the authors and publishers of the papers they"
        " were taken from. Research use only",
        terms="https://github.com/UCSD-AI4H/COVID-CT",
        citation="Zhao, Zhang, He, Xie, arXiv:2003.13865 (2020); He et al., medRxiv 2020.04.13.20063941 (2020)",
        kind="covid_ct",
        size="about 100 MB",
        files=(
            RemoteFile(f"{_COVID_CT}/Images-processed/CT_COVID.zip", "CT_COVID.zip"),
            RemoteFile(f"{_COVID_CT}/Images-processed/CT_NonCOVID.zip", "CT_NonCOVID.zip"),
            RemoteFile(f"{_COVID_CT}/COVID-CT-MetaInfo.xlsx", "COVID-CT-MetaInfo.xlsx"),
            RemoteFile(f"{_COVID_CT}/NonCOVID-CT-MetaInfo.csv", "NonCOVID-CT-MetaInfo.csv"),
            *_COVID_CT_LISTS,
        ),
    ),
    PublicDataset(
        name="head_ct",
        title="Head CT - hemorrhage: 100 head CT pictures with, 100 without haemorrhage, each of another person",
        licence="see the terms; they could not be verified when this was written. Research use only",
        terms="https://www.kaggle.com/datasets/felipekitamura/head-ct-hemorrhage",
        citation="Felipe Kitamura, Head CT - hemorrhage, Kaggle (2018)",
        kind="head_ct",
        size="about 25 MB",
        files=(
            RemoteFile(
                "https://www.kaggle.com/api/v1/datasets/download/felipekitamura/head-ct-hemorrhage",
                "head-ct-hemorrhage.zip",
            ),
        ),
    ),
    *(_medmnist(name, size) for name, sizes in _MEDMNIST_MD5.items() for size in sizes),
)
CATALOG: dict[str, PublicDataset] = {dataset.name: dataset for dataset in _DATASETS}
"""All data sets by name."""


def find_dataset(name: str) -> PublicDataset:
    """Return a data set by its name.

    Raises:
        DatasetError: there is none; the nearest name is suggested.
    """
    from difflib import get_close_matches

    if name in CATALOG:
        return CATALOG[name]
    nearest = get_close_matches(name, CATALOG, n=1)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    raise DatasetError(f"There is no public data set {name!r}; there are {', '.join(CATALOG)}.{hint}")
