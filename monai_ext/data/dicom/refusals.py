"""Why a file or object is not used: one code a reason, so that reports can count them and errors explain them."""

from __future__ import annotations

from enum import Enum

from monai_ext.errors import ReportedError

__all__ = ["Refusal", "SkipReason"]


class SkipReason(str, Enum):
    """A reason that a file is passed over; ``value`` is the code in reports, ``sentence`` says it to people."""

    sentence: str

    def __new__(cls, code: str, sentence: str = "") -> SkipReason:
        member = str.__new__(cls, code)
        member._value_ = code
        member.sentence = sentence
        return member

    NOT_DICOM = "not_dicom", "it is no DICOM file"
    DAMAGED = "damaged", "its structure is damaged"
    DICOMDIR = "dicomdir", "it is a DICOMDIR: it lists files and has no image itself"
    DOSE_REPORT = "dose_report", "it is a radiation dose report"
    NO_PIXELS = "no_pixels", "it has no image, like a report, a structure set or a presentation state"
    OTHER_MODALITY = "other_modality", "its modality was not asked for"
    SECONDARY_CAPTURE = (
        "secondary_capture",
        "it is a secondary capture or screenshot, which may show the patient's name",
    )
    BURNED_IN = "burned_in_annotation", "it says that text was burned into its pixels"
    LOCALIZER = "localizer", "it is a localizer (scout)"
    PROJECTION = "projection", "it is a projection or rendering, not a slice"
    OTHER_OBJECT = "other_object", "it is an object of another kind than CT or MR images"
    NOT_GRAYSCALE = "not_grayscale", "it is a colour image"
    NO_IDENTIFIERS = "no_identifiers", "it does not say which series it belongs to"
    NO_GEOMETRY = "no_geometry", "it does not say where the slice lies"
    PIXEL_FORMAT = "pixel_format", "its pixels are described in a way that cannot be read"
    IMPLAUSIBLE_SIZE = "implausible_size", "it declares a size that no scanner makes"
    CUT_PIXELS = "cut_pixels", "it has fewer pixels than it declares"
    NO_RESCALE = "no_rescale", "it does not say how stored values become Hounsfield units, or those of its series"
    NOT_HOUNSFIELD = "not_hounsfield", "its values are of another unit than Hounsfield"
    NO_CONTRAST = "no_contrast", "its series has no contrast: nearly all values above background are alike"
    MISSING_CODEC = "missing_codec", "no decoder for its compression is installed"
    UNDECODABLE = "undecodable", "its compressed pixels cannot be decoded"
    UNREADABLE = "unreadable", "the file cannot be read"
    DUPLICATE = "duplicate", "the same object is stored from another file"
    NOT_DEFACED = "not_defaced", "it may show a face that could not be taken out"
    FILTERED = "filtered", "the filter does not want it"
    TOO_LARGE = "too_large", "it is larger than a series that is kept in memory at once"
    LABEL_MAP = "label_map", "it is a label map, or a volume that is not in Hounsfield units"
    OTHER_KIND = "other_kind", "its values do not fit a store of this kind"
    NOT_A_VOLUME = "not_a_volume", "it has not three dimensions, as a volume has"
    NOT_FINITE = "not_finite", "its values are not all numbers: some are NaN or infinite"
    RAW_VALUES = "raw_values", "it holds the values of a volume, which is read through its header"
    HIDDEN = "hidden", "its name begins with a dot"
    EMPTY = "empty", "it is empty"
    ARCHIVE = "archive", "it is an archive: unpack it to have its content read"
    SPECIAL_FILE = "special_file", "it is a device, socket or pipe"
    BROKEN_LINK = "broken_link", "it is a link to something that is not there"
    LINK_LOOP = "link_loop", "it is a link to a folder that is listed already"
    SLICE_STORE = "slice_store", "it is a slice store"
    TIMEOUT = "timeout", "reading it took too long"
    CRASH = "crash", "reading it made the process crash"
    OUT_OF_MEMORY = "out_of_memory", "reading it takes more memory than a file may"


class Refusal(ReportedError):
    """Raised while an object is looked at; callers turn it into a skipped file or an error that names the file.

    Args:
        reason: which reason.
        detail: what was found, with tag and keyword where there is one; never a value that may identify somebody.
    """

    def __init__(self, reason: SkipReason, detail: str = "") -> None:
        super().__init__(reason.sentence + (" ({detail})" if detail else ""), **({"detail": detail} if detail else {}))
        self.public = self.public or reason.sentence
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[Refusal], tuple[SkipReason, str]]:
        return type(self), (self.reason, self.detail)
