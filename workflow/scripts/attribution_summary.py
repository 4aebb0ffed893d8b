from pathlib import Path

from longtake.attribution.summary import summarise
from longtake.job import job

with job(snakemake) as it:
    facts = summarise(
        [Path(path).parent for path in it.input],
        **{f"{name}_out": it.output[name] for name in ("results", "regions", "findings")},
        percentile=it.params.percentile,
        seed=it.params.seed,
        level=it.params.level,
    )
    it.record(**facts)
