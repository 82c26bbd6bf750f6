"""Settings of all tests."""

import contextlib

# The guests of tests/kernels have no hypothesis, and run no test that wants it.
with contextlib.suppress(ImportError):
    from hypothesis import settings

    # A busy machine is no failure, so no deadline. What fails prints how to get it again.
    settings.register_profile("snoop", deadline=None, print_blob=True)
    settings.load_profile("snoop")
