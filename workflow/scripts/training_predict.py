from longtake.job import job
from longtake.supervise.ladder import AS_ASKED, on_the_cpu
from longtake.training.jobs import predict_job

with job(snakemake) as job:
    job.survive(
        predict_job,
        lambda given: [AS_ASKED, *on_the_cpu(given)],
        options=job.params.options,
        model=job.wildcards["model"],
        unit=int(job.wildcards["fold"]),
        **job.params.study,
        folder=job.params.folder,
        device=job.device(job.params.force_cpu),
        out=dict(zip(job.params.controls, job.output, strict=True)),
    )
