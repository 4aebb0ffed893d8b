from pathlib import Path

from longtake.job import job
from longtake.planning.choice import Terms
from longtake.planning.classes import GpuClass
from longtake.planning.jobs import plan_jobs
from longtake.unit import Study

with job(snakemake) as job:
    results = Path(job.output.jobs).parents[1]
    facts = plan_jobs(
        {name: Study(results, facts) for name, facts in job.params.studies.items()},
        job.input.forecasts,
        classes=[GpuClass(**each) for each in job.params.classes],
        terms=Terms(**job.params.terms),
        here=job.params.here,
        runs=[results, *filter(None, [job.params.history])],
        out=job.output.jobs,
    )
    job.record(**facts)
