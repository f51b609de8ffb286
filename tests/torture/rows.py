"""The table: every fault with its bar, its full count and a short one for the test suite."""

from __future__ import annotations

from tests.torture.clocks import shift_clock
from tests.torture.damaged_checkpoints import damage_checkpoints
from tests.torture.ends import kill_at_the_end
from tests.torture.failing_calls import fail_calls
from tests.torture.figures import Row
from tests.torture.full_disk import fill_disk
from tests.torture.kills import kill_drivers, kill_writers
from tests.torture.large import measure_large
from tests.torture.malformed import read_malformed
from tests.torture.ray_lost_nodes import kill_head, kill_nodes
from tests.torture.ray_many import measure_many
from tests.torture.ray_overhead import measure_overhead
from tests.torture.reading_along import read_along
from tests.torture.scale import measure_scale
from tests.torture.sharing import claim_together, claim_together_on_postgres, start_together
from tests.torture.stalls import stall_postgres
from tests.torture.thousand import measure_nodes
from tests.torture.upgrades import kill_upgrades
from tests.torture.waiting import lock_database, stop_drivers

NOTHING_LOST = {"lost": 0, "duplicates": 0, "unfinished": 0}

ROWS = (
    Row(
        "kills",
        "kill -9 of a driver with 2 workers, real training",
        "0 lost, 0 twice, epochs = runs × epochs, equal weights, half after an epoch, ≤ 30 min",
        kill_drivers,
        full={"kills": 200, "cold_every": 10},
        short={"kills": 2, "cold_every": 0, "epochs": 2},
        most=NOTHING_LOST
        | {"unequal": 0, "damaged": 0, "tracebacks": 0, "workers_left": 0, "seconds": 1800},
        least={"share_after_first_epoch": 0.5},
    ),
    Row(
        "ends",
        "kill -9 of a command with every unfinished run under way, default options",
        "equal weights and paths, whatever is chosen meanwhile; every missing run announced",
        kill_at_the_end,
        full={"kills": 40},
        short={"kills": 2, "epochs": 3},
        most={
            "unequal": 0,
            "unfinished": 0,
            "miscounted": 0,
            "damaged": 0,
            "tracebacks": 0,
            "workers_left": 0,
        },
        least={"kills": 1},
    ),
    Row(
        "writers",
        "kill -9 of a writer, the store alone",
        "0 lost, 0 twice, epochs = runs × epochs, ≤ 120 s",
        kill_writers,
        full={"kills": 200, "writers": 4},
        short={"kills": 6, "writers": 4},
        most=NOTHING_LOST | {"damaged": 0, "tracebacks": 0, "seconds": 120},
    ),
    Row(
        "claims",
        "8 processes claim 2,000 cells, SQLite",
        "0 double, 0 errors, ≤ 10 s",
        claim_together,
        full={"processes": 8, "cells": 2_000},
        short={"processes": 8, "cells": 200},
        most={"double": 0, "unclaimed": 0, "errors": 0, "seconds": 10},
    ),
    Row(
        "claims-postgres",
        "8 processes claim 2,000 cells, PostgreSQL",
        "0 double, 0 errors, ≤ 10 s",
        claim_together_on_postgres,
        full={"processes": 8, "cells": 2_000},
        short={"processes": 4, "cells": 100},
        most={"double": 0, "unclaimed": 0, "errors": 0, "seconds": 10},
    ),
    Row(
        "starts",
        "the same study started 4 times at once, no database yet",
        "one schema, every cell once, 0 tracebacks",
        start_together,
        full={"drivers": 4, "rounds": 20},
        short={"drivers": 4, "rounds": 1},
        most={"wrong_schemas": 0, "unfinished": 0, "duplicates": 0, "tracebacks": 0, "failed": 0},
    ),
    Row(
        "upgrades",
        "kill -9 at each statement that makes a database or brings one up to date",
        "a second try comes to the same database of today",
        kill_upgrades,
        full={"every_of_oldest": 1, "every_of_new": 1},
        short={"every_of_oldest": 13, "every_of_new": 13},
        most={"other_ends": 0, "not_of_today": 0},
        least={"kills": 8},
    ),
    Row(
        "calls",
        "fsync, write, rename fail (EIO, ENOSPC) at each call in turn",
        "no false success, resume completes",
        fail_calls,
        full={"at_most": 0, "runs": 2, "side_by_side": 2},
        short={"at_most": 2, "runs": 1, "side_by_side": 2},
        most=NOTHING_LOST | {"false_successes": 0, "unclear": 0, "damaged": 0},
        least={"stopped": 1},
    ),
    Row(
        "disk",
        "full disk (tmpfs)",
        "committed rows intact, a clear line, resume completes",
        fill_disk,
        full={"rounds": 20, "runs": 40},
        short={"rounds": 2, "runs": 6},
        most=NOTHING_LOST | {"unclear": 0, "damaged": 0},
        least={"full": 1},
    ),
    Row(
        "locks",
        "database locked from outside for 1, 5, 20, 60 s",
        "0 failed runs, 0 false take-overs",
        lock_database,
        # The lease as it is, and a short one, which each lock outlasts several times.
        full={"holds": [(1, 30), (5, 30), (20, 30), (60, 30), (5, 2), (12, 2)]},
        short={"holds": [(1.6, 1.0)]},
        most={"failed": 0, "false_take_overs": 0, "unfinished": 0, "lost": 0, "tracebacks": 0},
    ),
    Row(
        "zombies",
        "a driver stopped (SIGSTOP) past its lease, then continued",
        "0 rows from the zombie",
        stop_drivers,
        full={"times": 50, "lease_seconds": 0.6},
        short={"times": 1, "lease_seconds": 0.4},
        most={
            "zombie_rows": 0,
            "not_taken_over": 0,
            "still_going": 0,
            "lost": 0,
            "duplicates": 0,
            "tracebacks": 0,
        },
    ),
    Row(
        "stalls",
        "PostgreSQL stalled or restarted in the middle of commits",
        "0 lost, 0 twice",
        stall_postgres,
        full={"times": 20, "writers": 4},
        short={"times": 2, "writers": 2},
        most=NOTHING_LOST | {"tracebacks": 0},
    ),
    Row(
        "clock",
        "clock ±1 day on one of two drivers, from the start and in mid-run",
        "0 take-overs, 0 negative durations",
        shift_clock,
        full={"days": [1, -1], "jumps": [False, True], "training": True},
        short={"days": [-1], "jumps": [False], "training": False},
        most={
            "take_overs": 0,
            "negative_durations": 0,
            "unfinished": 0,
            "duplicates": 0,
            "not_shifted": 0,
            "tracebacks": 0,
        },
    ),
    Row(
        "checkpoints",
        "checkpoint truncated, or one bit of it flipped",
        "100 % detected, the previous one used, same final bytes",
        damage_checkpoints,
        full={"times": 100},
        short={"times": 2},
        most={"undetected": 0, "not_the_previous": 0, "unequal": 0},
    ),
    Row(
        "files",
        "1,000 malformed study files",
        "a clear line each, 0 tracebacks, nothing written",
        read_malformed,
        full={"files": 1_000, "by_command": 20},
        short={"files": 40, "by_command": 0},
        most={
            "tracebacks": 0,
            "unclear": 0,
            "written": 0,
            "wrong_exit_codes": 0,
            "slowest_seconds": 10,
        },
    ),
    Row(
        "reads",
        "a report is read while 8 writers write",
        "blocks no writer over 1 s, sees one state",
        read_along,
        full={"writers": 8, "seconds": 20.0, "stored_runs": 290, "epochs": 50},
        short={"writers": 8, "seconds": 0.8, "stored_runs": 20, "epochs": 5},
        most={
            "inconsistent": 0,
            "lost": 0,
            "duplicates": 0,
            "tracebacks": 0,
            "longest_lock_seconds": 1,
        },
    ),
    Row(
        "scale",
        "10,000 runs × 50 epochs in SQLite",
        "plan ≤ 10 s, status ≤ 1 s, the report's queries ≤ 10 s and < 1 GiB",
        measure_scale,
        full={"seeds": 1_250, "epochs": 50, "commands": True},
        short={"seeds": 10, "epochs": 3, "commands": False},
        most={"plan_seconds": 10, "status_seconds": 1, "report_seconds": 10, "report_mib": 1024},
    ),
    Row(
        "ray",
        "sleeping runs, each a task of Ray, beside local workers",
        "every run once, ≤ 100 ms more for each",
        measure_overhead,
        full={"seeds": 125, "sleep_seconds": 0.01},
        short={"seeds": 5, "sleep_seconds": 0.01},
        most={"unfinished": 0, "overhead_seconds": 0.1},
    ),
    Row(
        "ray-many",
        "5,000 sleeping runs through Ray and PostgreSQL",
        "every run once, ≥ 50 a second, the driver's memory within 10 %",
        measure_many,
        full={"runs": 5_000, "workers": 4, "sleep_seconds": 0.01},
        short={"runs": 200, "workers": 2, "sleep_seconds": 0.01},
        most={"unfinished": 0, "duplicates": 0, "driver_growth": 0.1},
        least={"runs_per_second": 50},
    ),
    Row(
        "ray-nodes",
        "kill -9 of one of two nodes of a Ray, both training",
        "its run begins on the other within a lease and 10 s, each run once, the study completes",
        kill_nodes,
        full={"times": 10, "sleep_seconds": 2.0},
        short={"times": 1, "sleep_seconds": 1.0},
        most={
            "duplicates": 0,
            "unfinished": 0,
            "exit_code": 0,
            "tracebacks": 0,
            "slowest_take_over_seconds": 40,
        },
    ),
    Row(
        "ray-head",
        "kill -9 of the head of a Ray and of the driver on it, a node training",
        "its workers stop within the lease; begun again, the study completes, each run once",
        kill_head,
        full={"times": 5, "sleep_seconds": 600.0},
        short={"times": 1, "sleep_seconds": 600.0},
        most={
            "duplicates": 0,
            "unfinished": 0,
            "exit_code": 0,
            "tracebacks": 0,
            "workers_stopped_seconds": 30,
        },
    ),
    Row(
        "large",
        "100,000 runs × 10 epochs in PostgreSQL",
        "plan ≤ 10 s, status ≤ 1 s, report ≤ 60 s and < 2 GiB",
        measure_large,
        full={"seeds": 10_000, "epochs": 10},
        short={"seeds": 10, "epochs": 3},
        most={"plan_seconds": 10, "status_seconds": 1, "report_seconds": 60, "report_mib": 2048},
    ),
    *(
        Row(
            name,
            f"{nodes:,} nodes with an epoch of ten runs each {each:g} s, played on one PostgreSQL",
            "a claim ≤ 1 s in 99 of 100 cases, nobody more than an epoch behind",
            measure_nodes,
            full={"nodes": nodes, "seconds": 60.0, "processes": 6, "epoch_seconds": each},
            short={
                "nodes": min(nodes, 10),
                "seconds": 3.0,
                "processes": 2,
                "epoch_seconds": each,
            },
            most={"claim_p99_milliseconds": 1_000, "behind_p99_milliseconds": 1_000 * each},
        )
        for name, nodes, each in (
            ("nodes-10", 10, 0.9),
            ("nodes-100", 100, 0.9),
            ("nodes-1000", 1_000, 30.0),
            ("nodes-1000-grid", 1_000, 0.9),  # as the reference grid has them
        )
    ),
)
