from pathlib import Path

from longtake.job import job
from longtake.report.memory import write_memory
from longtake.report.page import write_report

with job(snakemake) as job:
    results = Path(job.params.results)
    facts = write_report(
        results=results,
        out=Path(job.output.page),
        studies=job.params.studies,
        settings=job.params.settings,
        command=job.params.command,
    )
    out = {f"{name}_out": Path(job.output[name]) for name in ("jobs", "stages", "figure")}
    job.record(**facts, jobs=write_memory(results, **out))
