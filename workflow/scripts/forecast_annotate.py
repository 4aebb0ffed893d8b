from longtake.annotate.forecast import forecast_annotate
from longtake.job import job
from longtake.planning.cache import Known

with job(snakemake) as it:
    facts = forecast_annotate(
        summaries=it.input.summaries,
        objects=it.params.objects,
        prompted=it.params.prompted,
        model_dir=it.params.model,
        options=it.params.options,
        force_cpu=it.params.force_cpu,
        out=it.output.forecast,
        threads=it.threads,
        known=Known.within(it.params.known, it.params.code),
    )
    it.record(**facts)
