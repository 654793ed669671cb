"""The API with a trained model: answers of many callers are those of single requests, and the base marks questions."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from mtl.decoding import Decoding
from mtl.server.app import make_app
from mtl.server.served import OneModel, ServedModel
from mtl.serving.generate import Answer, Generator, load_generator
from mtl.sources.demo.corpus import passages
from tests.support.learned import learned_model
from tests.support.serving import serving_app
from tests.support.trained import trained_model

TEXTS = [f"{n} " + "The ferry left the harbour at nine. " * (n % 3 + 1) for n in range(12)]


def served(folder: Path) -> tuple[Generator, OneModel]:
    generator = load_generator(folder, engine="auto")
    return generator, OneModel(ServedModel("m", None, None, "", folder, generator))


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = httpx.post(f"{url}/v1/generate", json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    return answer.json()["answers"][0]


@pytest.mark.parametrize("decoding", [{}, {"num_beams": 2}], ids=["greedy", "beams"])
def test_many_callers_get_what_each_gets_alone(tmp_path: Path, decoding: dict[str, int]) -> None:
    generator, models = served(trained_model(tmp_path))
    bodies: list[dict[str, Any]] = [{"task": "summarize", "text": text, **decoding} for text in TEXTS]
    bodies += [
        {"task": "mcq", "text": text, "request": {"easy": n % 3 + 1}, **decoding} for n, text in enumerate(TEXTS)
    ]
    with serving_app(make_app(models)) as url, ThreadPoolExecutor(12) as pool:
        found = [answer["text"] for answer in pool.map(lambda body: post(url, body), bodies)]
        metrics = httpx.get(f"{url}/metrics").text
    alone = [
        generator.generate([body["text"]], body["task"], request=body.get("request"), decoding=Decoding(**decoding))
        for body in bodies
    ]
    assert found == [answer.text for (answer,) in alone]
    batches = float(metrics.split("mtl_serve_batch_texts_count ")[1].split()[0])
    assert batches < len(bodies), "some of them shared a batch"


@pytest.mark.slow
def test_the_base_marks_the_questions_of_a_model_that_asks_some(tmp_path: Path) -> None:
    _, models = served(learned_model(tmp_path))
    texts = list(dict.fromkeys(str(row["article"]) for row in passages(5, 4)))
    body = {"task": "mcq", "texts": texts, "request": {"easy": 1}, "truncate": True}
    with serving_app(make_app(models)) as url:
        plain, marked = (
            httpx.post(f"{url}/v1/generate", json={**body, **more}, timeout=120).json()["answers"]
            for more in ({}, {"marks": True})
        )
    assert [answer["text"] for answer in plain] == [answer["text"] for answer in marked]
    asked = [answer for answer in marked if answer["output"]]
    assert asked, "the model has learned to ask"
    for answer in asked:
        assert len(answer["marks"]) == len(answer["output"])
        assert all(0 <= mark <= 1 for mark in answer["marks"])
        assert answer["usable"] in (True, False)
    assert all("marks" not in answer for answer in plain)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_sigterm_answers_what_is_in_flight_and_ends(tmp_path: Path) -> None:
    trained_model(tmp_path / "model")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mtl.cli", "serve", str(tmp_path / "model"), "--port", str(port)]
    environment = {**os.environ, "MTL_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 240
        while not _is_up(url):
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.2)
        body = {"task": "mcq", "texts": TEXTS, "candidates": 8, "max_new_tokens": 60}  # long enough to be in flight
        with ThreadPoolExecutor(8) as pool:
            begun = [pool.submit(httpx.post, f"{url}/v1/generate", json=body, timeout=240) for _ in range(8)]
            while "mtl_serve_batch_texts_sum 0.0" in httpx.get(f"{url}/metrics", timeout=60).text:
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            found = [each.result() for each in begun]
        assert [answer.status_code for answer in found] == [200] * 8
        assert process.wait(60) in (143, -signal.SIGTERM)  # as a shell calls it, and as Python does
        assert not _is_up(url)
    finally:
        process.kill()
        process.wait()


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=60).status_code == 200
    except httpx.TransportError:
        return False


def test_answers_of_a_generator_are_the_same_in_its_two_halves(tmp_path: Path) -> None:
    generator = load_generator(trained_model(tmp_path))
    prompts = [generator.prompt(text, "mcq", request={"easy": n % 2 + 1}) for n, text in enumerate(TEXTS[:3])]
    found = generator.answer(prompts, "mcq")
    whole: list[Answer] = []
    for n, text in enumerate(TEXTS[:3]):
        whole += generator.generate([text], "mcq", request={"easy": n % 2 + 1})
    assert found == whole
