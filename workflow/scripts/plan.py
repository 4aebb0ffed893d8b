from pathlib import Path

from longtake.job import job
from longtake.planning.choice import Terms
from longtake.planning.classes import GpuClass
from longtake.planning.jobs import plan_jobs
from longtake.unit import Study

with job(snakemake) as it:
    results = Path(it.output.jobs).parents[1]
    facts = plan_jobs(
        {name: Study(results, facts) for name, facts in it.params.studies.items()},
        it.input.forecasts,
        classes=[GpuClass(**each) for each in it.params.classes],
        terms=Terms(**it.params.terms),
        here=it.params.here,
        runs=[results, *filter(None, [it.params.history])],
        out=it.output.jobs,
    )
    it.record(**facts)
