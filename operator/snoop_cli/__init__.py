"""The command line that people read reports with: `snoop`, also `kubectl snoop`."""
