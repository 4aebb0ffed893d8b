import sys
from pathlib import Path

from longtake.job import job
from longtake.report.status import write_status

with job(snakemake) as it:
    text, counted = write_status(
        results=Path(it.params.results),
        studies=it.params.studies,
        command=it.params.command,
        table_out=Path(it.output.table),
        text_out=Path(it.output.text),
        figure_out=Path(it.output.figure),
    )
    it.record(**counted)
    sys.stderr.write(text)
