"""VolumeSuperResolution: the engine, its training and its Slicer side."""

__version__ = "0.2.0"
