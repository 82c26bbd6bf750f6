"""The one error of the harness."""


class BenchError(Exception):
    """Nothing can be measured so; the message is one line that says why."""
