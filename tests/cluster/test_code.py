"""A machine with other versions than the driver does no work."""

from __future__ import annotations

import pytest

from mtl.cluster.code import check_code, versions
from mtl.errors import InputError


def test_a_machine_with_the_versions_of_the_driver_works() -> None:
    check_code(dict(versions()))


@pytest.mark.parametrize("name", ["Python", "source of mtl", "numpy", "pyarrow", "tokenizers"])
def test_another_version_is_an_error_that_names_it(name: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(InputError, match=f"on the driver, {name} is other, here it is") as error:
        check_code({**versions(), name: "other"})
    assert "install the same versions" in str(error.value.hint)
