from pathlib import Path

from longtake.job import job
from longtake.report.memory import write_memory
from longtake.report.page import write_report

with job(snakemake) as it:
    results = Path(it.params.results)
    facts = write_report(
        results=results,
        out=Path(it.output.page),
        studies=it.params.studies,
        settings=it.params.settings,
        command=it.params.command,
    )
    out = {f"{name}_out": Path(it.output[name]) for name in ("jobs", "stages", "figure")}
    it.record(**facts, jobs=write_memory(results, **out))
