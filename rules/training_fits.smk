"""The folds of networks: trained, and asked about the videos that they did not train on."""


# One job a fold of a network. Its state between two steps lies in an undeclared folder, so that a killed one goes on.
rule training_fit:
    input:
        weights=weights_of,
        folds=wait_for_folds,
        plan=wait_for_plan,
    output:
        model=f"{TRAINING}/{{model}}/fold-{{fold}}/model.safetensors",
        config=f"{TRAINING}/{{model}}/fold-{{fold}}/config.json",
        history=f"{TRAINING}/{{model}}/fold-{{fold}}/history.parquet",
    log:
        f"{OUT}/logs/training_fit/{{model}}.{{fold}}.log",
    benchmark:
        f"{OUT}/benchmarks/training_fit/{{model}}.{{fold}}.tsv"
    wildcard_constraints:
        model="|".join(NETWORKS) or "-",
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        **asked("training_fit", checkpoint_s=round(60 * settings.training.checkpoint_minutes)),
    params:
        learns=of_fold("learnt"),
        options=fit_options,
        study=STUDY,
        folder=f"{TRAINING}/{{model}}/fold-{{fold}}",
        state=f"{TRAINING}/work/{{model}}.{{fold}}.state.safetensors",
        force_cpu=settings.device.force_cpu,
        code=digest("longtake.training.jobs"),
    message:
        "Train {wildcards.model}, fold {wildcards.fold}: {resources.mem_mb} MB, {resources.runtime} min"
    script:
        "../workflow/scripts/training_fit.py"


rule training_predict:
    input:
        model=f"{TRAINING}/{{model}}/fold-{{fold}}/model.safetensors",
        config=f"{TRAINING}/{{model}}/fold-{{fold}}/config.json",
        folds=wait_for_folds,
        plan=wait_for_plan,
    output:
        [f"{TRAINING}/{{model}}/fold-{{fold}}/predictions{each and '.'}{each}.parquet" for each in SHOWN],
    log:
        f"{OUT}/logs/training_predict/{{model}}.{{fold}}.log",
    benchmark:
        f"{OUT}/benchmarks/training_predict/{{model}}.{{fold}}.tsv"
    wildcard_constraints:
        model="|".join(NETWORKS) or "-",
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        **asked("training_predict"),
    params:
        tests=of_fold("tested"),
        options=fit_options,
        study=STUDY,
        folder=lambda wildcards, input: os.path.dirname(input.model),
        controls=SHOWN,
        force_cpu=settings.device.force_cpu,
        code=digest("longtake.training.jobs"),
    message:
        "Let {wildcards.model}, fold {wildcards.fold}, predict"
    script:
        "../workflow/scripts/training_predict.py"
