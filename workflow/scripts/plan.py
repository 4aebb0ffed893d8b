from pathlib import Path

from longtake.job import job
from longtake.planning.choice import Terms
from longtake.planning.classes import GpuClass
from longtake.planning.jobs import Step, plan_jobs

with job(snakemake) as it:
    facts = plan_jobs(
        it.input.windows,
        it.input.forecasts,
        steps={name: Step(**step) for name, step in it.params.steps.items()},
        classes=[GpuClass(**each) for each in it.params.classes],
        terms=Terms(**it.params.terms),
        here=it.params.here,
        runs=[Path(it.output.jobs).parents[1], *filter(None, [it.params.history])],
        frame_interval=it.params.frame_interval,
        out=it.output.jobs,
    )
    it.record(**facts)
