"""What a volume is: where its voxels sit, what they mean, and how it is read and written."""
