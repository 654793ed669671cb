"""The generate flow: a file of texts in, parquet parts of answers out; run again, it goes on after the last part.

python -m flows.generate texts.jsonl answers/ mcq
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Annotated, Any, Literal

from prefect import flow, get_run_logger
from pydantic import BeforeValidator, Field, WithJsonSchema

from flows import events, steps
from mtl.config.parameters import with_fields
from mtl.config.register import RegisterConfig
from mtl.config.run import RunConfig
from mtl.config.section import Section
from mtl.decoding import MOST_BEAMS, MOST_CANDIDATES, MOST_PENALTY, Decoding
from mtl.tasks.table import names_in_words, request_parameters

_FIELDS = (
    replace(parameter, description=f"{tasks}: {parameter.description}")
    for parameter, tasks in request_parameters().values()
)


@with_fields(_FIELDS, optional=True)
class Request(Section):
    """What is asked for; where nothing is, the task's default."""


@flow(
    name="generate",
    description="Generate the answers to a file of texts, in shards.",
    validate_parameters=True,
    on_failure=[events.run_ended_badly],
    on_crashed=[events.run_ended_badly],
)
def generate(
    source: Annotated[
        str, Field(description="Table (.jsonl, .json, .csv or .parquet) with a column `text` or `article`.")
    ],
    destination: Annotated[str, Field(description="Folder for the answers, which are Parquet files.")],
    task: Annotated[str, Field(description=f"The task: {names_in_words()}.")] = "summarize",
    request: Annotated[
        Request,
        BeforeValidator(lambda given: {} if given is None else given),
        WithJsonSchema(Request.model_json_schema()),  # in its place, not by reference: there the server takes no null
        Field(description="What the answers must contain. If empty, the default of the task."),
    ] = Request(),  # noqa: B008  # frozen
    model: Annotated[
        str, Field(description="The model: champion, previous, candidate, or a version such as v3.")
    ] = "champion",
    name: Annotated[str, Field(description="Name of the registered model.")] = RegisterConfig().model,
    shard_rows: Annotated[int, Field(ge=1, le=100_000, description="Number of rows in a Parquet file.")] = 256,
    truncate: Annotated[
        bool, Field(description="Cut texts that are over the limit of the model. Otherwise they are refused.")
    ] = True,
    candidates: Annotated[
        int,
        Field(
            ge=1,
            le=MOST_CANDIDATES,
            description="Number of answers to draw for each text, for tasks with questions. Only questions whose key "
            "the base confirms are kept. 1 takes one greedy answer as it is.",
        ),
    ] = 1,
    num_beams: Annotated[
        int, Field(ge=1, le=MOST_BEAMS, description="Number of beams of beam search. 1 is greedy decoding.")
    ] = 1,
    length_penalty: Annotated[
        float,
        Field(
            ge=-MOST_PENALTY,
            le=MOST_PENALTY,
            description="With beam search, the score of a beam is divided by its length to this power.",
        ),
    ] = 1.0,
    engine: Annotated[
        Literal["local", "ray"],
        Field(description=str(RunConfig.model_fields["engine"].description)),
    ] = "local",
    gpu: Annotated[
        bool, Field(description="Whether each worker on the Ray cluster takes a GPU. Otherwise it sees none.")
    ] = False,
) -> dict[str, Any]:
    """source: a table (.jsonl, .json, .csv, .parquet) with `text` or `article` (and `id`).

    A row that is refused has its reason in column `error`.
    """
    asked = request.model_dump(exclude_none=True)
    decoding = Decoding(num_beams=num_beams, length_penalty=length_penalty, candidates=candidates)
    job = steps.plan_generation(source, task, asked, name, model, shard_rows, truncate, decoding)
    if engine == "ray":
        parts = steps.generate_shards_on_ray(job, destination, gpu)
    else:
        parts = [steps.generate_shard(job, number, destination) for number in range(job.shards)]
    refused = sum(part.refused for part in parts)
    get_run_logger().info("%d rows, %d refused, by v%s", job.rows, refused, job.version)
    return {"version": job.version, "rows": job.rows, "refused": refused, "parts": [part.path for part in parts]}


if __name__ == "__main__":
    generate(sys.argv[1], sys.argv[2], task=sys.argv[3] if len(sys.argv) > 3 else "summarize")
