"""What can go wrong for a reason of ours, and what follows from it.

    TryAgain            something of ours is away or in the way: the same is tried again, for as long as it takes
      Conflict          another instance changed the same rows
      (DatabaseAway, StoreAway, where the database and the store of media are reached)
    Misconfigured       nothing can be decided rightly until somebody mends the deployment: the service stops
    Stopping            the service is asked to stop: what is unfinished is read again after the next start

What is wrong with a message is `shared.contract.envelope.Undecodable`.
"""

import traceback
from pathlib import Path

_HERE = Path(__file__).parents[1]


class TryAgain(Exception):
    """Something of ours is away or in the way; never a reason to put a message aside."""


class Conflict(TryAgain):
    """Another instance changed the same rows: decide again on what is there now."""


class Misconfigured(Exception):
    """Nothing can be decided rightly until somebody mends the deployment: the service stops."""


class Stopping(Exception):
    """The service is asked to stop; the batch is left as it is and read again after the next start."""


def kind_and_place(error: BaseException) -> str:
    """Name an error, its cause, and where in our code it was raised, without its text, which may hold personal data."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(str(_HERE))]
    ours = [f for f in frames if "site-packages" not in f.filename]
    at = f" at {Path(ours[-1].filename).relative_to(_HERE)}:{ours[-1].lineno}" if ours else ""
    cause = f" from {type(error.__cause__).__name__}" if error.__cause__ else ""
    return f"{type(error).__name__}{cause}{at}"
