from longtake.job import job
from longtake.training.jobs import fit_job, ladder, planned_micro_batch

with job(snakemake) as job:
    job.survive(
        fit_job,
        ladder,
        options=job.params.options,
        model=job.wildcards["model"],
        unit=int(job.wildcards["fold"]),
        **job.params.study,
        folder=job.params.folder,
        state=job.params.state,
        device=job.device(job.params.force_cpu),
        micro_batch=planned_micro_batch(job.params.options, job.wildcards["model"], job.resources.get("chunk")),
        save_every_s=int(job.resources.get("checkpoint_s", 600)),
        recompute=job.resources.get("way", "").endswith("recomputed"),
    )
