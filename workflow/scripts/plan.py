from pathlib import Path

from longtake.job import job
from longtake.planning.choice import Terms
from longtake.planning.classes import GpuClass
from longtake.planning.jobs import plan_jobs
from longtake.unit import Study

with job(snakemake) as job:
    results = Path(job.output.jobs).parents[1]
    facts = plan_jobs(
        {name: Study(results, given) for name, given in job.params.asked["studies"].items()},
        job.input.forecasts,
        classes=[GpuClass(**each) for each in job.params.asked["classes"]],
        terms=Terms(**job.params.asked["terms"]),
        here=job.params.asked["here"],
        runs=[results, *filter(None, [job.params.asked["history"]])],
        out=job.output.jobs,
    )
    job.record(**facts)
