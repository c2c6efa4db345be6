"""The two kinds of explanation: of what encoders compute, and of what in an image spoke for a class."""
