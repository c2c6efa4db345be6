"""Plants a name wherever users have patients' names, runs everything, and looks for it in every byte that was made.

Run ``PYTHONPATH=tests python tests/fuzz/planted_chain.py``. The name is in folders, files, labels tables, patients'
columns and DICOM elements. Ingestion, stores of labelled pictures, trainings straight from folders and from stores,
embedding, evaluation, inference, export, explanations, answers to DICOM series, a study with its report, and packing
are run with it; so is a training that fails. What they wrote and said is searched as UTF-8, UTF-16 and Latin-1, also
within zip, gzip, Zstandard, Blosc, Parquet, PNG and base64. DICOM objects made for a PACS are left out: there the
patient belongs. So are files whose purpose is to name files: a study's plan and splits.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import gzip
import io
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from helpers.bundle_files import REPOSITORY, config_files
from helpers.dicom_files import ct_slice, write
from helpers.small_study import small_plan, write_study_pictures

NAME, OTHER_NAME = "Zqplanted7", "Jöqzhn"
"""Part of every planted text; the second differs in UTF-8 and Latin-1."""
PLACE = f"{NAME} {OTHER_NAME} (1950)"
_ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "latin-1")
_SIDE = 48
_TINY = {"backbone": "resnet18", "image_size": 64, "num_workers": 0, "batch_size": 8}
_NAMING = re.compile(r"study/plan\.json|study/splits/.*")
"""What names files and items because that is what it is for, and stays where the data is."""
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{80,}={0,2}")


@dataclass
class Search:
    """What was searched, and what was found.

    Attributes:
        files: searched.
        parts: of them: members of archives, streams that were unpacked.
        searched_bytes: of files and parts.
        hits: file, part and encoding.
    """

    files: int = 0
    parts: int = 0
    searched_bytes: int = 0
    hits: list[str] = field(default_factory=list)

    def folder(self, root: Path) -> None:
        """Every file below, and all names."""
        for path in sorted(root.rglob("*")):
            where = path.relative_to(root).as_posix()
            self.content(where, where.encode("utf-8", "surrogateescape"))
            if path.is_file() and not path.is_symlink() and not _NAMING.fullmatch(where):
                self.files += 1
                for part, content in unpacked(path.read_bytes(), path):
                    self.content(f"{where}{part}", content)

    def content(self, where: str, content: bytes) -> None:
        self.parts += 1
        self.searched_bytes += len(content)
        lower = content.lower()
        for encoding in _ENCODINGS:
            for name in (NAME, OTHER_NAME):
                if name.lower().encode(encoding) in lower:
                    self.hits.append(f"{where}: {name} in {encoding}")


def unpacked(content: bytes, path: Path | None = None, part: str = "") -> Iterator[tuple[str, bytes]]:
    """The content, and whatever is packed in it."""
    yield part, content
    if content[:4] == b"PK\3\4":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.namelist():
                yield from unpacked(archive.read(member), part=f"{part}!{member}")
    elif content[:2] == b"\x1f\x8b":
        yield from unpacked(gzip.decompress(content), part=f"{part}!gzip")
    elif content[:4] == b"PAR1":
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(io.BytesIO(content))
        header = repr((table.schema.metadata, table.schema.names))
        texts = [name for name in table.schema.names if "string" in str(table.schema.field(name).type)]
        yield f"{part}!parquet", (header + json.dumps(table.select(texts).to_pydict(), ensure_ascii=False)).encode()
    elif content[:8] == b"\x89PNG\r\n\x1a\n":
        yield f"{part}!text", _png_text(content)
    elif path is not None and path.suffix == ".b2nd":
        import blosc2

        array = blosc2.open(str(path), mode="r")
        yield f"{part}!blosc", array[:].tobytes() + repr(dict(array.schunk.meta)).encode()
    for number, frame in enumerate(_zstandard(content)):
        yield f"{part}!zstd{number}", frame
    for number, found in enumerate(_BASE64.findall(content)):
        with contextlib.suppress(ValueError):
            yield f"{part}!base64.{number}", base64.b64decode(found + b"=" * (-len(found) % 4))


def _png_text(content: bytes) -> bytes:
    from PIL import Image

    return repr(dict(Image.open(io.BytesIO(content)).info)).encode()


def _zstandard(content: bytes) -> Iterator[bytes]:
    """Frames that begin with Zstandard's mark, as far as they unpack."""
    import pyarrow

    for found in re.finditer(rb"\x28\xb5\x2f\xfd", content):
        with contextlib.suppress(OSError, ValueError):
            yield pyarrow.CompressedInputStream(io.BytesIO(content[found.start() :]), "zstd").read()


def write_data(home: Path) -> Path:
    """DICOM without labels, the same as pictures, and labelled pictures, all below a folder that names the patient."""
    generator = np.random.default_rng(0)
    folder = home / PLACE
    for series in range(6):
        for number in range(4):
            values = generator.integers(0, 2000, (_SIDE, _SIDE)).astype(np.uint16)
            dataset = ct_slice(
                2.5 * number,
                values=values,
                series=str(series),
                PatientName=f"{NAME}^{OTHER_NAME}",
                PatientID=f"{NAME}{series}",
                SpecificCharacterSet="ISO_IR 100",
                StudyDescription=PLACE,
                InstitutionName=PLACE,
                ReferringPhysicianName=PLACE,
                SeriesDescription=PLACE,
            )
            write(dataset, folder / "dicom" / f"{PLACE} {series}" / f"{NAME}_{number}.dcm")
    pictures = write_study_pictures(folder / "pictures", patients=66)
    table = (pictures / "labels.csv").read_text()
    for file in sorted((pictures / "images").iterdir()):
        renamed = file.rename(file.with_name(f"{PLACE} {file.name}"))
        table = table.replace(f"images/{file.name}", f"images/{renamed.name}")
    (pictures / "labels.csv").write_text(table.replace(",patient ", f",{PLACE} "), encoding="utf-8")
    return folder


def _train(name: str, root: Path, configs: str = "smoke", **settings: Any) -> None:
    from monai.bundle import run

    root.mkdir(parents=True, exist_ok=True)
    shared = {"bundle_root": str(root), "precision": "fp32", **(_TINY if configs == "smoke" else {})}
    files = config_files(REPOSITORY / "bundles" / name, configs)
    run(config_file=files, logging_file=False, **{**shared, **settings})


def _command(*arguments: object) -> None:
    from monai_ext.cli import main

    status = main([str(argument) for argument in arguments])
    if status:
        raise RuntimeError(f"{arguments[0]} ended with {status}")


def _encoder(out: Path) -> Path:
    return sorted((out / "from_folder").rglob("encoder.pt"))[0]


def _trained_bundle(out: Path) -> Path:
    """The classifier's root with its files, so that it is a whole bundle."""
    root = out / "classifier"
    for name in ("configs", "docs", "LICENSE", "README.md"):
        source = REPOSITORY / "bundles" / "covid19_classification" / name
        if source.is_dir():
            shutil.copytree(source, root / name, dirs_exist_ok=True)
        elif source.is_file():
            shutil.copyfile(source, root / name)
    return root


def _fail(data: Path, out: Path) -> None:
    """A training that ends because its data is damaged meanwhile."""
    broken = data / "broken"
    shutil.copytree(data / "dicom", broken)
    from monai_ext.data.slice_images import SliceImages

    taken = SliceImages._image

    def image(self: Any, number: int) -> Any:
        for file in broken.rglob("*.dcm"):
            os.truncate(file, 100)
        return taken(self, number)

    SliceImages._image = image  # type: ignore[method-assign]
    try:
        _train("byol_pretrain", out / "failing", dataset_dir=str(broken), validation_fraction=0)
    except Exception as error:
        logging.getLogger("planted").info("It failed with a %s, as it should.", type(error).__name__)
    else:
        raise RuntimeError("The training of damaged data did not fail.")
    finally:
        SliceImages._image = taken  # type: ignore[method-assign]


def _study(data: Path, out: Path) -> None:
    plan = data / "plan.json"
    plan.write_text(json.dumps(small_plan(data / "pictures", methods={"scratch": {}}, fractions=[1])), encoding="utf-8")
    _command("study", "run", plan, "--output", out / "study")


def _pack(data: Path, out: Path) -> None:
    table = data / "pictures" / "labels.csv"
    _command("bundle", "pack", _trained_bundle(out), out / "package.zip", "--reference", table)


STEPS: dict[str, Callable[[Path, Path], None]] = {
    "ingest": lambda data, out: _command("ingest", data / "dicom", out / "store", "--key", data / "key"),
    "ingest pictures": lambda data, out: _command(
        *("ingest", data / "pictures" / "images", out / "picture_store", "--key", data / "key")
    ),
    "data store": lambda data, out: _command(
        *("data", "store", data / "pictures" / "labels.csv", out / "labelled_store", "--key", data / "key")
    ),
    "pre-training from a folder": lambda data, out: _train(
        "spark_pretrain", out / "from_folder", dataset_dir=str(data / "dicom"), decoder_width=32
    ),
    "pre-training from a store": lambda data, out: _train(
        "spark_pretrain", out / "from_store", dataset_dir=str(out / "store"), decoder_width=32
    ),
    "pre-training that fails": _fail,
    "fine-tuning": lambda data, out: _train(
        "covid19_classification",
        out / "classifier",
        dataset_dir=str(data / "pictures"),
        pretrained=str(_encoder(out)),
    ),
    "evaluation": lambda data, out: _train(
        "covid19_classification", out / "classifier", "evaluate", dataset_dir=str(data / "pictures"), num_workers=0
    ),
    "inference": lambda data, out: _train(
        "covid19_classification",
        out / "classifier",
        "inference",
        dataset_dir=str(data / "pictures" / "images"),
        columns=["class", "reason", "model_version", "model_sha256"],
    ),
    "embed": lambda data, out: _command(
        *("embed", _encoder(out), data / "pictures" / "labels.csv", out / "embedded", "--map", "pca", "--html"),
        *("--num-workers", "0"),
    ),
    "embed DICOM": lambda data, out: _command(
        *("embed", _encoder(out), data / "dicom", out / "embedded_dicom", "--map", "pca", "--num-workers", "0")
    ),
    "export": lambda data, out: _command("export", _trained_bundle(out), "--output", out / "exported"),
    "explain": lambda data, out: _command(
        *("explain", _trained_bundle(out), data / "pictures" / "images", out / "explained", "--no-file-names")
    ),
    "infer": lambda data, out: _command(
        "infer", _trained_bundle(out), data / "dicom", out / "answers", "--no-dicom", "--no-file-names"
    ),
    "study": _study,
    "pack": _pack,
}  # fmt: skip


@contextlib.contextmanager
def _said_into(file: Path) -> Iterator[None]:
    """Everything that this process and its children say, and all log records, go to a file."""
    with open(file, "ab") as stream:
        before = [os.dup(number) for number in (1, 2)]
        handler = logging.FileHandler(file)
        logging.getLogger().addHandler(handler)
        level = logging.getLogger().level
        logging.getLogger().setLevel(logging.DEBUG)
        try:
            for number in (1, 2):
                os.dup2(stream.fileno(), number)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, kept in zip((1, 2), before, strict=True):
                os.dup2(kept, number)
                os.close(kept)
            logging.getLogger().removeHandler(handler)
            logging.getLogger().setLevel(level)


def run_chain(home: Path, *, only: str = "") -> tuple[Search, dict[str, str]]:
    """Run all steps and search; the second result says which steps could not be run, and why."""
    data, out = write_data(home), home / "out"
    out.mkdir()
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{out}/mlflow.db"
    failed: dict[str, str] = {}
    before = Path.cwd()
    os.chdir(out)
    try:
        for step, act in STEPS.items():
            if re.search(only, step):
                try:
                    with _said_into(home / f"said {step}.log"):
                        act(data, out)
                except Exception as error:
                    failed[step] = repr(error)[:500]
    finally:
        os.chdir(before)
    search = Search()
    search.folder(out)
    return search, failed


def main() -> int:
    """Run in a temporary folder and report; the status is 1 for a hit or a step that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="regular expression for steps")
    parser.add_argument("--keep", type=Path, help="new folder to work in and to keep")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = options.keep or Path(temporary)
        home.mkdir(parents=True, exist_ok=True)
        search, failed = run_chain(home, only=options.only)
        said = sorted(home.glob("said *.log"))
        loud = [file.name for file in said if NAME.lower().encode() in file.read_bytes().lower()]
    summary = {
        "steps": len(said),
        "failed": failed,
        "files": search.files,
        "parts": search.parts,
        "bytes": search.searched_bytes,
        "hits": search.hits,
        "said on this machine's terminal": loud,
    }
    print(json.dumps(summary, indent=2, ensure_ascii=False))
    return 1 if search.hits or failed else 0


if __name__ == "__main__":
    sys.exit(main())
