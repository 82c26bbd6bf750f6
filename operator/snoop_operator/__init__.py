"""The operator: watches SnoopProfiles, injects the sidecar, takes reports in, and says what it learned in the status."""
