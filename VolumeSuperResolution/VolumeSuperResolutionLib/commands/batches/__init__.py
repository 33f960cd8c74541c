"""What is behind `vsr batch`: which scans, where results go, who works on them, what is written down."""
