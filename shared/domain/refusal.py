"""How a rule says no. No I/O."""

from collections.abc import Sequence

from shared.contract.codes import Code
from shared.contract.commands import Refusal
from shared.contract.outcomes import Decision, Detail


class Refused(Exception):
    """A rule says no: with a code and, where a field is to blame, which field and what is wrong with it."""

    def __init__(
        self,
        code: Code,
        field: str | None = None,
        problem: str = "",
        *,
        details: Sequence[Detail] | None = None,
        decision: Decision | None = None,
    ) -> None:
        """`decision` is how a creation was decided, as far as that went (domain rule 6)."""
        super().__init__(code)
        self.code = code
        self.decision = decision
        if field is not None:
            details = [Detail(field=field, problem=problem)]
        self.refusal = Refusal(code=code, details=None if details is None else list(details))
        """What is remembered and sent."""
