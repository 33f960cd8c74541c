"""VolumeSuperResolution: the engine, its training and its Slicer side."""

__version__ = "0.1.0"
