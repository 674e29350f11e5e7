"""A Butler repository for raw images: the instrument, the exposures and the files of a camera."""
