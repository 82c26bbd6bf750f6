"""The errors of the harness."""


class BenchError(Exception):
    """Nothing can be measured so; the message is one line that says why."""


class NotQuietError(BenchError):
    """Others trace this machine, and go on: no row can be measured."""


class DisturbedError(BenchError):
    """Others began or ended to trace this machine in the middle of a round: it is to be done again."""
