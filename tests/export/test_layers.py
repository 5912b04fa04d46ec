"""Names of layers and types of operators, as `keep_float` takes them."""

import pytest

from edgesim.errors import UsageError
from edgesim_export.layers import Operator, layer_names, select

OPERATORS = [
    Operator("a", "Conv", "stages.1.conv"),
    Operator("b", "Gelu", "stages.1.activation"),
    Operator("c", "Conv", "stages.10.conv"),
    Operator("d", "Pad", "stages.1.conv"),
]


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        ([], ""),
        (["stages.1.conv"], "ad"),
        (["stages.1"], "abd"),
        (["Conv"], "ac"),
        (["Gelu", "stages.10"], "bc"),
        (["stages"], "abcd"),
    ],
)
def test_names_mean_layers_what_lies_in_them_and_types(names, keys):
    assert select(OPERATORS, names, "r") == set(keys)


def test_a_part_of_a_name_means_nothing():
    with pytest.raises(UsageError) as caught:
        select(OPERATORS, ["stages.1.con"], "recipe own")
    assert str(caught.value) == (
        "recipe own: keep_float: no layer or operator 'stages.1.con'; did you mean 'stages.1.conv'?"
    )


def test_each_layer_once_in_order():
    assert layer_names(OPERATORS) == ["stages.1.conv", "stages.1.activation", "stages.10.conv"]
