import sys
from pathlib import Path

from longtake.job import job
from longtake.planning.choice import Terms
from longtake.planning.classes import GpuClass
from longtake.planning.jobs import check_memory

with job(snakemake) as job:
    text = check_memory(
        job.input.forecasts,
        classes=[GpuClass(**each) for each in job.params.classes],
        terms=Terms(**job.params.terms),
        gpus=job.params.gpus,
        runs=[Path(job.output.table).parents[1], *filter(None, [job.params.history])],
        out=job.output.table,
    )
    sys.stdout.write(text)
