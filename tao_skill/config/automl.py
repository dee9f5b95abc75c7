"""The settings of an AutoML search, under the names that TAO's AutoML has where it has one."""

from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from tao_skill.config.parameter import SECTION, parameter

__all__ = ["RANGE_PARTS", "AutoML"]

# What an own range of a parameter is made of.
RANGE_PARTS = ("valid_min", "valid_max", "valid_options", "option_weights", "disable_list")


@dataclass(config=SECTION)
class AutoML:
    """How a search looks for better hyper-parameters, and when it ends."""

    automl_algorithm: Annotated[
        str,
        parameter(
            "Search algorithm: bayesian, random, hyperband, asha, bohb, pbt, hyperband_es, llm or hybrid.",
            title="Algorithm",
        ),
    ] = "bayesian"
    automl_max_recommendations: Annotated[
        int, parameter("Largest number of trials, the baseline among them.", title="Trials", ge=1)
    ] = 20
    automl_max_minutes: Annotated[
        float | None,
        parameter(
            "Wall clock of the whole search, the winner's last epochs among them; null: no limit.",
            title="Minutes",
            gt=0,
        ),
    ] = None
    automl_target: Annotated[
        float | None,
        parameter("Value of the metric that ends the search as soon as a trial reaches it.", title="Target"),
    ] = None
    automl_max_epochs: Annotated[
        int | None,
        parameter("Epochs of a full training; null: what the spec says.", title="Epochs of a full training", ge=1),
    ] = None
    automl_max_concurrent: Annotated[
        int | None,
        parameter(
            "Trials that run at the same time, each in a process of its own; null: on a GPU 1; without one, one for "
            "each processor, with 4 GB of free memory each, and 4 at most; what a cluster has room for, 8 at most.",
            title="Concurrency",
            ge=1,
        ),
    ] = None
    automl_hyperparameters: Annotated[
        list[str],
        parameter("Parameters to search in place of the schema's default ones.", title="Parameters"),
    ] = Field(default_factory=list)
    custom_param_ranges: Annotated[
        dict[str, Any],
        parameter(
            "Own range of a parameter, inside the schema's: valid_min and valid_max, or valid_options with "
            "option_weights; disable_list takes options away. A parameter named here is searched.",
            title="Own ranges",
        ),
    ] = Field(default_factory=dict)
    automl_starting_points: Annotated[
        list[dict[str, Any]] | None,
        parameter(
            "Values to try first, each a mapping from keys to values; what one doesn't name stays as in the baseline. "
            "bayesian tries them right after the baseline, hybrid at the turns that aren't the model's. null: those "
            "that the schema recommends; []: none.",
            title="Starting points",
        ),
    ] = None
    metric: Annotated[
        str | None,
        parameter("Metric that is optimised; null: the one that the skill's SKILL.md names.", title="Metric"),
    ] = None
    direction: Annotated[
        Literal["maximize", "minimize"] | None,
        parameter(
            "Whether larger or smaller values are better; null: minimize where the metric's name says loss, error, "
            "rmse, perplexity or the like.",
            title="Direction",
        ),
    ] = None
    automl_early_stopping: Annotated[
        bool,
        parameter(
            "End hopeless trials early: bayesian, random, llm and hybrid compare them with the others at the same "
            "epoch, the hyperband family at its rungs.",
            title="Early stopping",
        ),
    ] = True
    automl_min_epochs: Annotated[
        int, parameter("Epochs that each trial trains at least before it may be ended.", title="First rung", ge=1)
    ] = 1
    automl_reduction_factor: Annotated[
        int, parameter("One in so many trials goes on from rung to rung.", title="Reduction factor", ge=2)
    ] = 3
    automl_early_stop_threshold: Annotated[
        float,
        parameter(
            "hyperband_es: a trial ends when it has not improved by this share of its best value for "
            "automl_min_early_stop_epochs validations.",
            title="Least improvement",
            ge=0,
        ),
    ] = 0.01
    automl_min_early_stop_epochs: Annotated[
        int, parameter("hyperband_es: validations without improvement that are borne.", title="Patience", ge=1)
    ] = 3
    automl_population_size: Annotated[int, parameter("pbt: members of the population.", title="Population", ge=2)] = 4
    automl_eval_interval: Annotated[
        int | None,
        parameter("pbt: epochs of a generation; null: a quarter of a training.", title="Generation", ge=1),
    ] = None
    automl_perturbation_factor: Annotated[
        float,
        parameter("pbt: factor by which copied values are raised or lowered.", title="Perturbation", gt=0, le=10),
    ] = 1.2
    automl_trial_timeout_minutes: Annotated[
        float | None,
        parameter("Minutes after which a trial is ended and counts as failed; null: none.", title="Timeout", gt=0),
    ] = None
    automl_max_retries: Annotated[
        int,
        parameter("How often a trial is started again after a failure of the machine.", title="Retries", ge=0),
    ] = 2
    automl_delete_intermediate_ckpt: Annotated[
        bool,
        parameter("Delete the checkpoints of trials that are out of the race.", title="Delete checkpoints"),
    ] = True
    automl_keep_trials: Annotated[
        int, parameter("Ended trials whose checkpoints are kept: the best ones.", title="Trials kept", ge=1)
    ] = 1
    run_final_evaluation: Annotated[
        bool,
        parameter("Measure the winner on the data of evaluate, where they are given.", title="Final evaluation"),
    ] = True
    automl_seed: Annotated[int, parameter("Seed of the search's own choices.", title="Seed", ge=0)] = 0
    llm_endpoint: Annotated[
        str | None,
        parameter(
            "llm, hybrid: base URL of an OpenAI-compatible server; null: AUTOML_LLM_ENDPOINT. The key stands in "
            "AUTOML_LLM_API_KEY of the environment and nowhere else.",
            title="Language model: server",
        ),
    ] = None
    llm_model: Annotated[
        str | None,
        parameter("llm, hybrid: name of the model; null: AUTOML_LLM_MODEL.", title="Language model"),
    ] = None
    llm_temperature: Annotated[
        float | None,
        parameter("llm, hybrid: null: AUTOML_LLM_TEMPERATURE, else 0.7.", title="Temperature", ge=0, le=2),
    ] = None
    llm_max_tokens: Annotated[
        int | None,
        parameter(
            "llm, hybrid: tokens of an answer; null: AUTOML_LLM_MAX_TOKENS, else 4096.",
            title="Tokens",
            ge=64,
            le=131072,
        ),
    ] = None
    llm_timeout: Annotated[
        float | None,
        parameter(
            "llm, hybrid: seconds of a request; null: AUTOML_LLM_TIMEOUT, else 60.",
            title="Seconds of a request",
            gt=0,
            le=600,
        ),
    ] = None
    llm_max_retries: Annotated[
        int | None,
        parameter(
            "llm, hybrid: how often a request is sent again that the server failed on; null: AUTOML_LLM_MAX_RETRIES, "
            "else 3.",
            title="Requests sent again",
            ge=0,
            le=10,
        ),
    ] = None
    llm_retry_delay: Annotated[
        float | None,
        parameter(
            "llm, hybrid: seconds before the first of them, doubled each time; null: AUTOML_LLM_RETRY_DELAY, else 2.",
            title="Delay",
            ge=0,
            le=60,
        ),
    ] = None
    llm_max_invalid_answers: Annotated[
        int,
        parameter(
            "llm, hybrid: invalid answers in a row after which the model is given up.", title="Invalid answers", ge=1
        ),
    ] = 5
    llm_fallback: Annotated[
        bool,
        parameter(
            "llm, hybrid: go on with the default algorithm where the model is given up or can't be asked; otherwise "
            "the search ends and says so.",
            title="Fallback",
        ),
    ] = False
    automl_platform: Annotated[
        Literal["local", "ray"],
        parameter("Where trials run: processes of this machine, or a Ray cluster.", title="Platform"),
    ] = "local"
    automl_ray_address: Annotated[
        str,
        parameter(
            "ray: address of the cluster's head; auto: the cluster that this machine belongs to; local: one that is "
            "started for this search.",
            title="Ray: address",
        ),
    ] = "auto"
    automl_trial_cpus: Annotated[
        float, parameter("ray: processors that a trial needs.", title="Ray: processors of a trial", gt=0)
    ] = 1.0
    automl_trial_gpus: Annotated[
        float | None,
        parameter(
            "ray: GPUs that a trial needs; null: what the spec's train.num_gpus says where the cluster has any.",
            title="Ray: GPUs of a trial",
            ge=0,
        ),
    ] = None
