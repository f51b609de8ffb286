"""What the networks of a search cost, as it counts them: by the speeds that it is judged by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ablate.errors import StudyError
from ablate.search import judge
from ablate.search.parts import Parts
from ablate.search.speeds import costs_of
from ablate.store.writing.trials import Against, TrialRow
from ablate.study.search import SPEED


@dataclass
class CostBook:
    """Costs by fingerprint; `against` is the baseline with the speed that it counts with, where one does."""

    parts: Parts
    against: Against | None = field(init=False, default=None)
    _known: dict[str, Mapping[str, float]] = field(init=False, default_factory=dict)

    def put(self, rows: Sequence[TrialRow], against: Against | None) -> None:
        """These trials and this baseline are judged by the speeds that they keep."""
        parts = self.parts
        self._known |= costs_of(parts.store, parts.search, rows, parts.place)
        self.against = against
        if against is not None:
            network = against.fingerprint
            self._known[network] = {**self.known(network), SPEED: against.speed}

    def known(self, network: str) -> Mapping[str, float]:
        """What a network costs, as far as that is known."""
        if network not in self._known:
            self._known |= self.parts.store.costs([network], self.parts.place)
        return self._known[network]

    def of(self, network: str) -> Mapping[str, float]:
        """Everything that the search goes by.

        Raises:
            StudyError: its speed is not measured.
        """
        costs = self.known(network)
        if self.parts.search.needs_speed and SPEED not in costs:
            del self._known[network]  # it may be measured meanwhile
            raise StudyError(
                f"search: {SPEED} of a variant is not measured on this device in this precision: run "
                "`ablate search STUDY` again to measure it"
            )
        return costs

    @property
    def baseline(self) -> Mapping[str, float]:
        return self.of(self.parts.baseline)

    def broken(self, network: str) -> str | None:
        """Which bound a network breaks, in words; None for none."""
        return judge.broken(self.parts.search, self.of(network), self.baseline)

    def reasons(self, networks: Iterable[str]) -> dict[str, str | None]:
        """The same of each network whose costs are known."""
        search = self.parts.search
        if not search.constraints:
            return {}
        return {n: self.broken(n) for n in networks if judge.is_bounded(search, self.known(n))}
