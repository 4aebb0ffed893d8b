from pathlib import Path

from longtake.attribution.figures import study_figures
from longtake.job import job

with job(snakemake) as job:
    made = study_figures(
        findings=job.input.findings,
        folders=[Path(path).parent for path in job.input.results],
        probes=list(job.input.probes),
        rows=job.params.rows,
        options=job.params.options,
        out=Path(job.output.summary).parent,
    )
    job.record(figures=made)
