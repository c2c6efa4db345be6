"""From folders of files to a slice store: every file stored, or skipped with a reason. DICOM is read in ``dicom``."""
