"""Plain Python: numpy, SimpleITK, torch. Knows nothing of Slicer."""
