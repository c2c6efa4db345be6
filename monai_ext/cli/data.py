"""``python -m monai_ext data``: list and get public data sets, and bring labelled pictures into a slice store.

Data sets are downloaded from where they are published, checked, and made ready for training; `store` brings labelled
pictures into a slice store, in the order of their labels table.

Example:
  python -m monai_ext data list
  python -m monai_ext data get covid_ct /data/covid_ct
  python -m monai_ext data store /data/covid_ct/labels.csv /data/covid_store
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence

from monai_ext.cli._parser import command_parser
from monai_ext.cli._progress import advance, progress_bar
from monai_ext.data.public.catalog import CATALOG, PublicDataset, RemoteFile, find_dataset
from monai_ext.data.public.downloading import Progress
from monai_ext.data.public.get import get_collection, get_files
from monai_ext.data.public.nbia import NBIA_URL
from monai_ext.errors import DatasetError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a ``data`` command; returns the exit status."""
    options = _parser().parse_args(arguments)
    return int(options.run(options))


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("data", __doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser(
        "list",
        help="name, content and licence of all public data sets",
        description="Name, content and licence of all public data sets.",
    ).set_defaults(run=_list)
    get = commands.add_parser(
        "get",
        help="download a data set, check it, and make it ready",
        description="Download a data set, check it, and make it ready.",
    )
    get.set_defaults(run=_get)
    get.add_argument("name", metavar="NAME", help=f"one of {', '.join(CATALOG)}")
    get.add_argument("folder", metavar="DEST", help="folder that it goes into")
    get.add_argument("--accept-licence", action="store_true", help="agree to the licence without being asked")
    tcia = get.add_argument_group("TCIA collections (lidc)")
    tcia.add_argument("--modality", default="CT", help="CT when omitted; 'any' for all")
    tcia.add_argument("--body-part", help="Body Part Examined, e.g. CHEST")
    tcia.add_argument("--patients", nargs="+", default=[], metavar="ID", help="only these patients")
    tcia.add_argument("--limit", type=int, metavar="N", help="at most N series")
    tcia.add_argument("--connections", type=int, default=3, metavar="N", help="series at a time (3)")
    tcia.add_argument("--base-url", default=NBIA_URL, help="address of the NBIA interface")
    store = commands.add_parser(
        "store",
        help="bring labelled pictures into a slice store",
        description="Bring labelled pictures into a slice store.",
    )
    store.set_defaults(run=_store)
    store.add_argument("source", metavar="SOURCE", help="labels table (.csv) or MedMNIST file (.npz)")
    store.add_argument("store", metavar="STORE", help="folder of the slice store")
    store.add_argument("--key", metavar="FILE", help="secret key of the pseudonyms")
    store.add_argument("--ungrouped", action="store_true", help="every item is of another patient")
    return parser


def _list(options: argparse.Namespace) -> int:
    for dataset in CATALOG.values():
        sys.stdout.write(f"{dataset.name:16s} {dataset.title}\n{'':16s} licence: {dataset.licence}\n")
    return 0


def _get(options: argparse.Namespace) -> int:
    dataset = find_dataset(options.name)
    _agree(dataset, accepted=options.accept_licence)
    if dataset.collection:
        _get_collection(dataset, options)
        sys.stdout.write(
            f"{dataset.name} is in {options.folder}. Next: python -m monai_ext ingest {options.folder} STORE\n"
        )
        return 0
    for file in get_files(dataset, options.folder, progress_of=_file_progress):
        sys.stdout.write(f"{file}\n")
    return 0


def _agree(dataset: PublicDataset, *, accepted: bool) -> None:
    """Show the licence, and go on only when it is agreed to."""
    sys.stdout.write(dataset.licence_text())
    sys.stdout.flush()
    if accepted:
        return
    if not sys.stdin.isatty():
        raise DatasetError(
            f"{dataset.name} is not downloaded before its licence is agreed to: read the terms above, then add"
            " --accept-licence."
        )
    if input("Do you agree to these terms? Type yes to go on: ").strip().lower() != "yes":
        raise DatasetError(f"{dataset.name} was not downloaded, since its licence was not agreed to.")


def _file_progress(file: RemoteFile) -> Progress:
    bar = progress_bar(None, doing=file.name, unit="B", scaled=True)

    show = advance(bar)

    def progress(done: int, total: int | None) -> None:
        show(done, total)
        if done == total:
            bar.close()

    return progress


def _get_collection(dataset: PublicDataset, options: argparse.Namespace) -> None:
    lock = threading.Lock()
    with progress_bar(None, doing="Fetching", unit=" series") as bar:
        arrived = 0

        def listed(count: int) -> None:
            bar.total = count
            bar.refresh()

        def received(count: int) -> None:
            nonlocal arrived
            with lock:
                arrived += count
                bar.set_postfix_str(f"{arrived / 1e6:.0f} MB", refresh=False)

        get_collection(
            dataset,
            options.folder,
            modality=None if options.modality == "any" else options.modality,
            body_part=options.body_part,
            patients=options.patients,
            limit=options.limit,
            base_url=options.base_url,
            connections=options.connections,
            listed=listed,
            received=received,
            fetched=lambda: bar.update() and None,
        )


def _store(options: argparse.Namespace) -> int:
    from monai_ext.data.labelled.to_store import store_labelled_pictures
    from monai_ext.data.splits.items import open_split_source

    source = open_split_source(options.source, group_column=None if options.ungrouped else "patient_id")
    with progress_bar(len(source.ids), doing="Storing", unit=" pictures") as bar:
        for count in store_labelled_pictures(source, options.source, options.store, key_file=options.key):
            bar.update(count)
    sys.stdout.write(f"{len(source.ids)} pictures of {source.name} are in {options.store}.\n")
    return 0
