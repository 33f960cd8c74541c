"""VolumeSuperResolution: the engine, its training and its Slicer side."""
