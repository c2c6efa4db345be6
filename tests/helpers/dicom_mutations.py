"""Makes hostile DICOM files: well-formed ones of many encodings, damaged in every way that a seed can choose."""

from __future__ import annotations

import io
import random
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from pydicom import Dataset, config, dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from helpers.compressed_streams import STREAMS, write_compressed
from helpers.dicom_files import ct_slice, enhanced_ct, ramp, write

SHAPE = (64, 48)
ABSURD = [0, 1, 3, 7, 12, 13, 17, 32, 33, 64, 255, 4096, 8193, 32767, 65535]
ABSURD_TEXT = ["", "NaN", "inf", "1e400", "-1e39", "abc", "1\\2\\3", "9" * 300, "\0\0", "0x10"]
SIZES = ["Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"]
NUMBERS = ["RescaleSlope", "RescaleIntercept", "SliceThickness", "NumberOfFrames", "PixelSpacing"]
VECTORS = ["ImagePositionPatient", "ImageOrientationPatient"]
JPEGS = ["1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.55", "1.2.840.10008.1.2.4.70"]
SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.201",
    "1.2.3",
]

Mutation = Callable[[bytes, random.Random], bytes]


def originals(folder: Path) -> list[bytes]:
    """Well-formed files: every uncompressed encoding, six compressed ones, and an enhanced object."""
    made = []
    for number, syntax in enumerate(SYNTAXES[:4]):
        path = write(ct_slice(float(number), values=_picture()), folder / f"{number}", transfer_syntax=syntax)
        made.append(path.read_bytes())
    for number, syntax in enumerate((RLELossless, JPEG2000Lossless, JPEGLSLossless)):
        path = write(ct_slice(10.0 + number, values=_picture()), folder / f"c{number}")
        dataset = dcmread(path)
        dataset.compress(syntax)
        dataset.save_as(path)
        made.append(path.read_bytes())
    for number, syntax in enumerate(JPEGS):
        path = write_compressed(folder / f"j{number}", syntax, STREAMS[syntax], position_mm=20.0 + number)
        made.append(path.read_bytes())
    made.append(write(enhanced_ct([0.0, 2.0], values=np.stack([_picture()] * 2)), folder / "e").read_bytes())
    return made


def mutated(files: list[bytes], *, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield (name of the mutation, content); the same seed gives the same files."""
    choice = random.Random(seed)
    names = sorted(MUTATIONS)
    for number in range(count):
        name = names[number % len(names)]
        yield name, MUTATIONS[name](_another_object(choice.choice(files), number), choice)


def _another_object(content: bytes, number: int) -> bytes:
    """The same file as an object of its own, unless it is deflated: its UID gets another end."""
    if DeflatedExplicitVRLittleEndian.encode() in content:
        return content
    sop_instance_uid = str(dcmread(io.BytesIO(content), specific_tags=["SOPInstanceUID"]).SOPInstanceUID).encode()
    return content.replace(sop_instance_uid, sop_instance_uid[:-6] + b"%06d" % number)


def _picture() -> np.ndarray:
    return (ramp(SHAPE, start=0) % 2000).astype(np.uint16)


def _flip_bits(content: bytes, choice: random.Random) -> bytes:
    changed = bytearray(content)
    reach = len(changed) if choice.random() < 0.3 else min(len(changed), 1400)
    for _ in range(choice.choice([1, 2, 8, 64])):
        changed[choice.randrange(128, reach)] ^= 1 << choice.randrange(8)
    return bytes(changed)


def _cut(content: bytes, choice: random.Random) -> bytes:
    return content[: choice.randrange(len(content))]


def _insert(content: bytes, choice: random.Random) -> bytes:
    at = choice.randrange(132, len(content))
    return content[:at] + choice.randbytes(choice.choice([1, 2, 7, 300])) + content[at:]


def _remove(content: bytes, choice: random.Random) -> bytes:
    at = choice.randrange(132, len(content))
    return content[:at] + content[at + choice.choice([1, 2, 8, 200]) :]


def _garbage(content: bytes, choice: random.Random) -> bytes:
    return content[: choice.choice([132, 300, 500])] + choice.randbytes(choice.randrange(4000))


def _absurd_size(content: bytes, choice: random.Random) -> bytes:
    return _with(content, lambda dataset: _set(dataset, choice.choice(SIZES), choice.choice(ABSURD)))


def _absurd_number(content: bytes, choice: random.Random) -> bytes:
    return _with(content, lambda dataset: _set_text(dataset, choice.choice(NUMBERS), choice.choice(ABSURD_TEXT)))


def _absurd_vector(content: bytes, choice: random.Random) -> bytes:
    texts = [choice.choice([*ABSURD_TEXT, "0", "1"]) for _ in range(choice.choice([2, 3, 6]))]
    return _with(content, lambda dataset: _set_text(dataset, choice.choice(VECTORS), "\\".join(texts)[:2000]))


def _missing(content: bytes, choice: random.Random) -> bytes:
    def drop(dataset: Dataset) -> None:
        for tag in choice.sample(sorted(dataset.keys()), k=choice.choice([1, 1, 3])):
            del dataset[tag]

    return _with(content, drop)


def _wrong_vr(content: bytes, choice: random.Random) -> bytes:
    """Replace the type of an element: two capital letters after a tag of a low group."""
    places = [
        at for at in range(132, min(len(content) - 4, 3000)) if content[at : at + 2].isalpha() and content[at - 3] == 0
    ]
    if not places:
        return content
    at = choice.choice(places)
    return content[:at] + choice.choice([b"SQ", b"UN", b"OB", b"US", b"PN", b"ZZ", b"AT", b"FD"]) + content[at + 2 :]


def _wrong_length(content: bytes, choice: random.Random) -> bytes:
    at = choice.randrange(132, min(len(content), 1500))
    lengths = [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\xfe\xff", b"\x01\x00"]
    new = choice.choice(lengths)
    return content[:at] + new + content[at + len(new) :]


def _other_syntax(content: bytes, choice: random.Random) -> bytes:
    dataset = dcmread(io.BytesIO(content))
    old, new = str(dataset.file_meta.TransferSyntaxUID), str(choice.choice(SYNTAXES))
    return content.replace(old.encode(), new.ljust(len(old), "\0").encode()[: len(old)], 1)


def _deflate_bomb(content: bytes, choice: random.Random) -> bytes:
    """A small file that inflates to a hundred megabytes of zeros, or of nested items."""
    buffer = io.BytesIO()
    dataset = Dataset()
    dataset.file_meta = dcmread(io.BytesIO(content), stop_before_pixels=True, specific_tags=[]).file_meta
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.preamble = bytes(128)
    dataset.save_as(buffer)
    whole = buffer.getvalue()
    start = whole.rindex(DeflatedExplicitVRLittleEndian.encode()) + len(DeflatedExplicitVRLittleEndian)
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    piece = choice.choice([bytes(2**20), b"\xfe\xff\x00\xe0\xff\xff\xff\xff" * 2**17])
    return whole[:start] + b"".join(deflater.compress(piece) for _ in range(100)) + deflater.flush()


def _stream_bomb(content: bytes, choice: random.Random) -> bytes:
    """A compressed stream that declares another size than the file."""

    def blow_up(dataset: Dataset) -> None:
        if not dataset.file_meta.TransferSyntaxUID.is_compressed or "PixelData" not in dataset:
            _set(dataset, "Rows", 8192)
            _set(dataset, "Columns", 8192)
            return
        frame = bytearray(next(iter(generate_frames(dataset.PixelData, number_of_frames=1))))
        for _ in range(choice.choice([1, 4])):
            at = choice.randrange(min(60, len(frame) - 4))
            frame[at : at + 4] = choice.choice([b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\0\0\0\0"])
        dataset.PixelData = encapsulate([bytes(frame)])
        if choice.random() < 0.3:
            _set(dataset, "Rows", 8192)
            _set(dataset, "Columns", 8192)

    return _with(content, blow_up)


def _frame_bomb(content: bytes, choice: random.Random) -> bytes:
    frames = choice.choice(["2147483647", "100000", "4096", "-5", "0", "1.5"])
    return _with(content, lambda dataset: _set_text(dataset, "NumberOfFrames", frames))


def _nesting_bomb(content: bytes, choice: random.Random) -> bytes:
    """Sequences within sequences, thousands deep, before the pixels."""
    depth = choice.choice([50, 900, 20000])
    opening = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    at = content.find(b"\x08\x00\x60\x00")
    return content[:at] + opening * depth + content[at:]


def _fragment_bomb(content: bytes, choice: random.Random) -> bytes:
    """Compressed pixels in very many tiny pieces."""
    start = content.find(b"\xe0\x7f\x10\x00")
    pieces = choice.choice([1000, 200_000])
    head = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\0\0\0\0"
    return content[:start] + head + b"\xfe\xff\x00\xe0\x02\0\0\0\xff\xd8" * pieces


def _set(dataset: Dataset, keyword: str, value: int) -> None:
    setattr(dataset, keyword, value)


def _set_text(dataset: Dataset, keyword: str, text: str) -> None:
    setattr(dataset, keyword, None)
    dataset[keyword].VR = "LO"
    dataset[keyword].value = text


def _with(content: bytes, change: Callable[[Dataset], None]) -> bytes:
    """Parse, change and write again, without any checks."""
    settings = config.settings
    before = settings.reading_validation_mode, settings.writing_validation_mode
    settings.reading_validation_mode = settings.writing_validation_mode = config.IGNORE
    try:
        dataset = dcmread(io.BytesIO(content))
        change(dataset)
        buffer = io.BytesIO()
        dataset.save_as(buffer)
        return buffer.getvalue()
    except Exception:  # not every change can be written in every encoding
        return content[: len(content) // 2]
    finally:
        settings.reading_validation_mode, settings.writing_validation_mode = before


MUTATIONS: dict[str, Mutation] = {
    "absurd number": _absurd_number,
    "absurd size": _absurd_size,
    "absurd vector": _absurd_vector,
    "cut": _cut,
    "deflate bomb": _deflate_bomb,
    "flipped bits": _flip_bits,
    "fragment bomb": _fragment_bomb,
    "frame bomb": _frame_bomb,
    "garbage": _garbage,
    "inserted bytes": _insert,
    "missing elements": _missing,
    "nesting bomb": _nesting_bomb,
    "other transfer syntax": _other_syntax,
    "removed bytes": _remove,
    "stream bomb": _stream_bomb,
    "wrong length": _wrong_length,
    "wrong VR": _wrong_vr,
}
