from __future__ import annotations

import pickle

import pytest

from metatalk import errors

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, errors.MetatalkError)
]


@pytest.mark.parametrize("kind", CLASSES)
def test_errors_survive_a_process_border(kind: type[errors.MetatalkError]) -> None:
    again = pickle.loads(pickle.dumps(kind("frame 412: no face found", "show the face")))
    assert type(again) is kind
    assert (again.problem, again.remedy) == ("frame 412: no face found", "show the face")


@pytest.mark.parametrize("kind", CLASSES)
def test_errors_are_rebuilt_from_one_argument(kind: type[errors.MetatalkError]) -> None:
    assert str(kind("broken")) == "broken"


def test_message_names_problem_and_remedy() -> None:
    assert str(errors.MediaError("no sound", "add some")) == "no sound\n  remedy: add some"
