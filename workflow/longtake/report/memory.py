"""What every job used, as one table."""

from __future__ import annotations

from pathlib import Path

from longtake.report.records import read_run
from longtake.store.atomic import write_tsv

COLUMNS = "rule unit status reason wall_s cpu_s rss_mb requested_mem_mb gpu_allocated_mb gpu_reserved_mb host".split()


def write_memory(results: Path, out: Path) -> int:
    """Write one row per job of the run in `results` to `out` (tab separated); return the number of jobs.

    Memory in MiB, times in seconds; a job that failed keeps its row and its reason.
    """
    records = read_run(results, "snakemake").records
    write_tsv(out, COLUMNS, ({name: getattr(record, name) for name in COLUMNS} for record in records))
    return len(records)
