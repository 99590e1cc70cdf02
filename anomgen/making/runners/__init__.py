"""Runners: which process, on which machine, makes which shard."""
