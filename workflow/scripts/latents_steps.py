from longtake.job import job
from longtake.latents.study import compare_steps

with job(snakemake) as it:
    it.run(
        compare_steps,
        indices=list(it.input.index),
        videos=it.input.videos,
        grams=list(it.output.grams),
        out={"videos": it.output.videos, "groups": it.output.groups},
        **it.params.study,
    )
