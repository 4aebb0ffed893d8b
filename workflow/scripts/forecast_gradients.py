from longtake.gradients.forecast import forecast_gradients
from longtake.gradients.options import Options
from longtake.job import job
from longtake.planning.cache import Known

with job(snakemake) as it:
    it.run(
        forecast_gradients,
        summaries=it.input.summaries,
        objects=it.params.objects,
        frames=it.params.frames,
        options=Options(**it.params.options),
        force_cpu=it.params.force_cpu,
        out=it.output.forecast,
        threads=it.threads,
        known=Known.within(it.params.known, it.params.code),
    )
