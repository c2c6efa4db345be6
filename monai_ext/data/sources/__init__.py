"""What slices are read from: folders of DICOM, NIfTI and pictures, MedMNIST, stores. Labels live in ``labelled``."""
