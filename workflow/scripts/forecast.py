from pathlib import Path

from longtake.job import job
from longtake.planning.cache import Known
from longtake.planning.driver import Ask, forecast
from longtake.unit import Study

with job(snakemake) as job:
    ask = Ask(
        Study(Path(job.output.forecast).parents[1], job.params.facts),
        job.input.shapes,
        Known.within(job.params.known, job.params.code),
        job.threads,
        job.progress,
    )
    job.record(**forecast(job.wildcards["analysis"], ask, force_cpu=job.params.force_cpu, out=job.output.forecast))
