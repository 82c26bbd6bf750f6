"""The operator: watches SnoopProfiles, injects the sidecar, takes reports in, and tells in the status what it knows."""
