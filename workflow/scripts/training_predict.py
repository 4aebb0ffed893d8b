from longtake.job import job
from longtake.supervise.ladder import AS_ASKED, on_the_cpu
from longtake.training.jobs import predict_job

with job(snakemake) as it:
    it.survive(
        predict_job,
        lambda given: [AS_ASKED, *on_the_cpu(given)],
        options=it.params.options,
        model=it.wildcards["model"],
        unit=int(it.wildcards["fold"]),
        **it.params.study,
        folder=it.params.folder,
        device=it.device(it.params.force_cpu),
        out=dict(zip(it.params.controls, it.output, strict=True)),
    )
