"""Records as CSV that a spreadsheet shows as it is meant."""

from __future__ import annotations

import csv
import io

from ablate.page.document import Records, Value

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def csv_text(records: Records) -> str:
    """A row for each record under the keys of the first; empty without any."""
    if not records:
        return ""
    text = io.StringIO()
    # All text is quoted: a carriage return inside a name must not end the row.
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow([_guarded(key) for key in records[0]])
    writer.writerows([[_guarded(value) for value in record.values()] for record in records])
    return text.getvalue()


def _guarded(value: Value) -> Value:
    """Text that a spreadsheet would take for a formula gets a quote before it; numbers stay."""
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return "'" + value
    return value
