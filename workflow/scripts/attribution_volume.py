from pathlib import Path

from longtake.attribution.ladder import asked, ladder
from longtake.attribution.volume import analyse_volume
from longtake.job import job

with job(snakemake) as it:
    it.survive(
        analyse_volume,
        ladder,
        row=it.params.row,
        options=asked(it.params.options, it.resources),
        out=Path(it.output.results).parent,
        **{f"{name}_out": it.output[name] for name in ("results", "regions", "curves")},
        seed=it.params.seed,
        check=it.params.check,
        device=it.device(it.params.force_cpu),
        requested_mb=it.resources.get("mem_mb"),
    )
