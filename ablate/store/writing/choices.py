"""Which path a device takes: chosen once by measurement, the same ever after."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, select

from ablate.result import Choice
from ablate.store import schema
from ablate.store.connection.transaction import reading, writing
from ablate.store.statements import add_missing
from ablate.system.process.clock import now


@dataclass(frozen=True, slots=True)
class ChoiceKey:
    """What a choice is for: a decision about a subject (a kind of attention, the setting of a study) on a
    device in a precision, and in words what else it depends on.
    """

    device: str
    precision: str
    decision: str
    subject: str
    conditions: str = ""


class Choices:
    """The table of choices."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @reading
    def find(self, connection: Connection, key: ChoiceKey) -> Choice | None:
        """What was chosen once; None before that."""
        table = schema.choices
        row = connection.execute(
            select(table.c.choice, table.c.reason).where(
                table.c.device == key.device,
                table.c.precision == key.precision,
                table.c.decision == key.decision,
                table.c.subject == key.subject,
                table.c.conditions == key.conditions,
            )
        ).first()
        return None if row is None else Choice(row.choice, row.reason)

    def keep(self, key: ChoiceKey, choice: Choice) -> Choice:
        """Store a choice; where another process was faster, its choice stays. Returns what holds."""
        self._add(key, choice)
        return self.find(key) or choice

    @writing
    def _add(self, connection: Connection, key: ChoiceKey, choice: Choice) -> None:
        row = {
            "device": key.device,
            "precision": key.precision,
            "decision": key.decision,
            "subject": key.subject,
            "conditions": key.conditions,
            "choice": choice.choice,
            "reason": choice.reason,
            "chosen_at": now(),
        }
        add_missing(connection, schema.choices, [row])
