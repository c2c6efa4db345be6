"""What slices are read from: folders of DICOM, volumes and pictures, MedMNIST, stores. Labels live in ``labelled``."""
