"""Learning from the scan itself: the sharp in-plane slices of a thick scan teach the direction across them.

`upscale` is the front door: where a request asks for learning it learns, keeps what it learned only if that is better
than what would have run without, and lets the engine upscale with it; else it is the engine's own. Needs torch and
numpy only, and torch only once it learns.
"""
