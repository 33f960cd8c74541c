"""Plain Python: numpy, SimpleITK, torch. Knows nothing of Slicer.

The front door is on this floor: `upscale` takes a volume and a `request`. Behind it are the rooms, each of which may
use those below it: `models` (what a model is, and how it is applied), `streaming` (a network over a volume), `networks`
(the architectures), `physics` (what a scanner does, and interpolation), `volumes` (what a volume is, and its files).
"""
