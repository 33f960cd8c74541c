"""The Slicer side: nodes, panel, views, the worker process."""
