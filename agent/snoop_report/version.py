"""Which version of the distribution this is: told by each program, and written into reports."""

from importlib import metadata


def version() -> str:
    """Name the installed version, or `unknown` where the sources run without being installed."""
    try:
        return metadata.version("snoop-profiler")
    except metadata.PackageNotFoundError:
        return "unknown"
