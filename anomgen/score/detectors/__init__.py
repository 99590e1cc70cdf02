"""The reference detectors, one file each."""
