"""A network over a volume: traced, and streamed plane by plane, exactly. README.md explains how."""
