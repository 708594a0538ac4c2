"""Waiting for a condition with a deadline; nothing in these tests sleeps in the hope that something happened."""

import time


def until(condition, what, timeout=30.0, every=0.02):
    """The first truthy value `condition()` gives; `what` says in the failure what never came about.

    An AssertionError or a connection error raised by the condition counts as "not yet"; the last one is shown.
    """
    deadline = time.monotonic() + timeout
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except (AssertionError, OSError) as not_yet:  # requests' errors are OSErrors
            last = not_yet
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout:g} s: {what} (last seen: {str(last)[:2000]})")
        time.sleep(every)
