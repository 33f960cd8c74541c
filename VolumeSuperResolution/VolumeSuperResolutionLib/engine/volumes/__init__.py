"""What a volume is: where its voxels sit, what they mean, and how it is read and written."""

# What results call the program that made them.
MAKER = "VolumeSuperResolution"
