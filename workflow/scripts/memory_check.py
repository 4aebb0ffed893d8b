import sys
from pathlib import Path

from longtake.job import job
from longtake.planning.choice import Terms
from longtake.planning.classes import GpuClass
from longtake.planning.jobs import check_memory

with job(snakemake) as it:
    text = check_memory(
        it.input.forecasts,
        classes=[GpuClass(**each) for each in it.params.classes],
        terms=Terms(**it.params.terms),
        gpus=it.params.gpus,
        runs=[Path(it.output.table).parents[1], *filter(None, [it.params.history])],
        out=it.output.table,
    )
    sys.stdout.write(text)
