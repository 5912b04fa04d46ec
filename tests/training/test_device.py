"""Where a training computes, and what the precision of a product shows of it."""

import pytest
import torch

from edgesim.errors import UsageError
from edgesim.training.device import autocast, pick_device


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("auto", torch.float32), ("float32", torch.float32), ("bfloat16", torch.bfloat16)],
)
def test_precision_of_a_product_on_a_cpu(precision, dtype):
    with autocast(precision, torch.device("cpu")):
        product = torch.tensor([[1.0 + 2**-7 + 2**-12]]) @ torch.ones(1, 1)
    assert product.dtype == dtype
    # bfloat16 keeps 8 bits of a number: the last term is lost.
    assert product.item() == 1.0 + 2**-7 + (2**-12 if dtype == torch.float32 else 0)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")
    with pytest.raises(
        UsageError, match=r"^--device cuda: no GPU that torch can use here; pass --device cpu"
    ):
        pick_device("cuda")
