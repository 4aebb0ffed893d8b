from pathlib import Path

from longtake.job import job
from longtake.planning.cache import Known
from longtake.planning.driver import Ask, forecast
from longtake.unit import Study

with job(snakemake) as it:
    ask = Ask(
        Study(Path(it.output.forecast).parents[1], it.params.facts),
        it.input.shapes,
        Known.within(it.params.known, it.params.code),
        it.threads,
        it.progress,
    )
    it.record(**forecast(it.wildcards["analysis"], ask, force_cpu=it.params.force_cpu, out=it.output.forecast))
