"""Whatever a tab says is checked before anything is done."""

import json

import pytest

from vla3d_ros.console.page_messages import ACTIONS, REQUESTS, read_page_message
from vla3d_ros.errors import ShapeError


@pytest.mark.parametrize("name", REQUESTS)
def test_every_button_is_a_message(name):
    assert read_page_message(json.dumps({"do": name})).action == name


def test_texts_seeds_and_answers_are_carried():
    assert read_page_message('{"do": "instruct", "text": "wipe"}').text == "wipe"
    assert read_page_message('{"do": "place", "seed": 7}').seed == 7
    assert read_page_message('{"do": "desk", "answer": {"say": "ready", "trial": 3}}').answer["trial"] == 3


@pytest.mark.parametrize(
    "raw",
    [
        "stop", "[]", "{}", '{"do": "launch"}', '{"do": ["stop"]}', "[" * 5000, b"\xff\xfe",
        '{"do": "instruct", "text": 5}', '{"do": "place", "seed": -1}', '{"do": "place", "seed": true}',
        '{"do": "place", "seed": 1.5}', '{"do": "desk", "answer": {"say": "win"}}', '{"do": "desk", "answer": 3}',
        json.dumps({"do": "note", "text": "x" * 3000}),
    ],
)  # fmt: skip
def test_anything_else_is_refused(raw):
    with pytest.raises(ShapeError):
        read_page_message(raw)


def test_the_refusal_names_every_problem():
    with pytest.raises(ShapeError, match=r"'text'.*'seed'"):
        read_page_message('{"do": "place", "text": 1, "seed": "a"}')
    assert "stop" in ACTIONS
