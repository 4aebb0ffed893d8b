import sys
from pathlib import Path

from longtake.job import job
from longtake.report.status import write_status

with job(snakemake) as job:
    text, counted = write_status(
        results=Path(job.params.results),
        studies=job.params.studies,
        command=job.params.command,
        table_out=Path(job.output.table),
        text_out=Path(job.output.text),
        figure_out=Path(job.output.figure),
    )
    job.record(**counted)
    sys.stderr.write(text)
