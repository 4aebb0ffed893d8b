"""longtake: long video in bounded memory, with the numbers that unlimited memory would give.

A table of contents. `snakemake --help` aside, README.md says how to use it and config/README.md what can be set.
"""

from snakemake.utils import min_version

min_version("9.27")


configfile: "config/config.yaml"


include: "rules/driver.smk"
include: "rules/common.smk"
include: "rules/units.smk"
include: "rules/wait.smk"
include: "rules/sources.smk"
include: "rules/videos.smk"
include: "rules/demo.smk"
include: "rules/probe.smk"
include: "rules/prompts.smk"
include: "rules/objects.smk"
include: "rules/forecast.smk"
include: "rules/passes.smk"
include: "rules/annotate.smk"
include: "rules/analysed.smk"
include: "rules/gradients.smk"
include: "rules/attribution.smk"
include: "rules/attribution_study.smk"
include: "rules/attribution_pictures.smk"
include: "rules/merge.smk"
include: "rules/compare.smk"
include: "rules/species.smk"
include: "rules/figures.smk"
include: "rules/heat.smk"
include: "rules/export.smk"
include: "rules/segments.smk"
include: "rules/latents.smk"
include: "rules/training.smk"
include: "rules/plan.smk"
include: "rules/report.smk"
include: "rules/begin.smk"
include: "rules/status.smk"
include: "rules/partial.smk"


check_there_is_work()


localrules:
    all,
    annotate,
    gradients,
    species,
    figures,
    export,
    partial,


# Everything: tables, figures, exports and the report page.
rule all:
    default_target: True
    input:
        REQUESTS,
        of_all("targets"),
        f"{OUT}/report.html",
