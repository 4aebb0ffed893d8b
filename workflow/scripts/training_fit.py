from longtake.job import job
from longtake.training.jobs import fit_job, ladder, planned_micro_batch

with job(snakemake) as it:
    it.survive(
        fit_job,
        ladder,
        options=it.params.options,
        model=it.wildcards["model"],
        unit=int(it.wildcards["fold"]),
        **it.params.study,
        folder=it.params.folder,
        state=it.params.state,
        device=it.device(it.params.force_cpu),
        micro_batch=planned_micro_batch(it.params.options, it.wildcards["model"], it.resources.get("chunk")),
        save_every_s=int(it.resources.get("checkpoint_s", 600)),
        recompute=it.resources.get("way", "").endswith("recomputed"),
    )
