"""Follows a database: whatever is new in it goes behind the event files of its runs.

The database is the truth and training writes no event: what is here can be deleted and made again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ablate.result import RunStatus
from ablate.store.files.histograms import stored_steps
from ablate.store.reading.follow import FollowedRun, explanation_of, followed_runs, history_of
from ablate.tensorboard import events
from ablate.tensorboard.log import Log, open_log, remove_logs, run_folder
from ablate.tensorboard.news import Row, epoch_ends, news


def _no_graph(_run: FollowedRun) -> bytes | None:
    return None


@dataclass
class Follower:
    """Keeps `logdir` in step with a database, or with one study, setting and data set (by hash) of it.

    With `rebuild` what was written for a run before is deleted when the run is first met.
    `graph_of` builds the graph of a run's network, for which this room, without torch, has to ask.
    `fingerprints` are those of the networks that were followed so far.
    """

    url: str
    logdir: Path
    study: str | None = None
    setting: str | None = None
    content: str | None = None
    rebuild: bool = False
    graph_of: Callable[[FollowedRun], bytes | None] = _no_graph
    fingerprints: set[str] = field(init=False, default_factory=set)
    _logs: dict[Path, Log] = field(init=False, default_factory=dict)
    _seen: dict[Path, tuple[object, ...]] = field(init=False, default_factory=dict)
    _undrawn: dict[Path, FollowedRun] = field(init=False, default_factory=dict)
    _graphless: set[str] = field(init=False, default_factory=set)

    def update(self) -> int:
        """Write what is new; returns how many runs there are.

        Raises:
            DatabaseError: the database cannot be read.
            OutputError: an event file cannot be written.
        """
        runs = followed_runs(self.url, self.study, self.setting, self.content)
        self.fingerprints.update(run.fingerprint for run in runs)
        for run in runs:
            base = run_folder(self.logdir, run)
            histograms = stored_steps(self.url, run.run_key)[-1:]
            state = (run.epochs, run.status, run.started_at, histograms)
            if self._seen.get(base) != state:
                self._extend(run, base)
                self._seen[base] = state
        return len(runs)

    def draw_next(self) -> bool:
        """Draw the attention of one finished run, or the graph of one network; False if none is left."""
        if not self._undrawn:
            return False
        base = next(iter(self._undrawn))
        run = self._undrawn.pop(base)
        end = epoch_ends(run, history_of(self.url, run.run_key)[0])[-1]
        log = self._logs[base]
        if self._lacks_graph(run, log):
            definition = self.graph_of(run)
            if definition is None:
                self._graphless.add(run.fingerprint)
            else:
                log.append([events.graph(definition, end)])
        if _lacks_pictures(run, log):
            log.append(
                events.picture(tag, png, run.epochs, end)
                for tag, png in _pictures(self.url, run).items()
            )
        return True

    def _extend(self, run: FollowedRun, base: Path) -> None:
        epochs, steps = history_of(self.url, run.run_key)
        log = self._log(base, epochs)
        log.append(news(self.url, run, log, epochs, steps))
        if _lacks_pictures(run, log) or self._lacks_graph(run, log):
            self._undrawn[base] = run

    def _lacks_graph(self, run: FollowedRun, log: Log) -> bool:
        """One seed of a variant is enough."""
        known = log.written.graph or run.fingerprint in self._graphless
        return run.seed == 1 and run.fold in (None, 1) and not known

    def _log(self, base: Path, epochs: Sequence[Row]) -> Log:
        if self.rebuild and base not in self._logs:
            remove_logs(base)
        log = self._logs.get(base)
        if log is None or not log.file.exists() or not log.written.agrees(epochs):
            log = self._logs[base] = open_log(base, epochs)
        return log


def _lacks_pictures(run: FollowedRun, log: Log) -> bool:
    return run.status is RunStatus.FINISHED and not log.written.pictures


def _pictures(url: str, run: FollowedRun) -> dict[str, bytes]:
    """Tag → PNG; none where no snapshot was kept, as of every seed but the first."""
    content = explanation_of(url, run.run_key)
    if content is None:
        return {}
    # Here, not above: matplotlib takes a second that nobody should wait for.
    from ablate.tensorboard.pictures import attention_pictures

    return attention_pictures(run.variant, content)
