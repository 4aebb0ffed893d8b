from longtake.job import job
from longtake.latents.figures import draw_study

with job(snakemake) as it:
    it.run(
        draw_study,
        given=dict(it.input.items()),
        out=list(it.output),
        options=it.params.choices,
        baseline=it.params.baseline,
    )
