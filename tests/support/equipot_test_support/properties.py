"""Settings of the property tests, and the one way in which they allow an error."""

import contextlib

from hypothesis import HealthCheck, settings

# Examples share a test's folder; none reads what another wrote.
common = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@contextlib.contextmanager
def only(error, where):
    """Allow one kind of error, whose message names its place; any other fails the test."""
    try:
        yield
    except error as raised:
        if where not in str(raised):
            raise
