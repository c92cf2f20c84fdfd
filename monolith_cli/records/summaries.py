"""What operators say of themselves in a log: a line for each step of a transform, now and then and at the end."""

from __future__ import annotations

import threading
from contextlib import contextmanager

EVERY_SECONDS = 300.0


def counts(operator) -> dict:
    """{"steps": [{name, in, out}, …]} of an operator that is made of several, else {}."""
    if not hasattr(operator, "summary"):
        return {}
    return {"steps": [{"name": name, "in": records_in, "out": records_out} for name, records_in, records_out in operator.summary()]}


def lines(operator, prefix: str = "") -> list[str]:
    """`NAME, input = I, output = O, retention rate = R` for each step and for the whole, which is not said twice."""
    steps = operator.summary()
    if len(steps) == 2:
        steps = steps[1:]
    return [f"{prefix}{name}, input = {i}, output = {o}, retention rate = {o / i if i else 0:.2f}" for name, i, o in steps]


@contextmanager
def logged(operators, log):
    """While inside, logs the lines of the operators that have some every five minutes (with -v); their notes at once, and the
    lines once more, behind "Finally", when it ends without an error."""
    telling = [operator for operator in operators if hasattr(operator, "summary")]
    for operator in telling:
        for note in getattr(operator, "notes", ()):
            log.warning(note)
    done = threading.Event()

    def tell():
        while not done.wait(EVERY_SECONDS):
            for line in (line for operator in telling for line in lines(operator)):
                log.info(line)

    thread = threading.Thread(target=tell, daemon=True) if telling and log.verbosity > 0 else None
    if thread is not None:
        thread.start()
    try:
        yield
    finally:
        done.set()
        if thread is not None:
            thread.join()
    for line in (line for operator in telling for line in lines(operator, "Finally ")):
        log.summary(line)
