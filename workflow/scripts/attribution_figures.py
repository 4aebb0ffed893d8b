from pathlib import Path

from longtake.attribution.figures import study_figures
from longtake.job import job

with job(snakemake) as it:
    made = study_figures(
        findings=it.input.findings,
        folders=[Path(path).parent for path in it.input.results],
        probes=list(it.input.probes),
        rows=it.params.rows,
        options=it.params.options,
        out=Path(it.output.summary).parent,
    )
    it.record(figures=made)
