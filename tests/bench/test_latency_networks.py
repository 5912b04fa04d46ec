"""The networks whose instructions are counted: the papers' sizes, and ncnn files that hang together."""

import pytest
import torch
from latency.ncnn_file import ncnn_file
from latency.networks import NETWORKS

from edgesim.models.cost import layer_cost

# Multiply-adds and parameters in millions, as the papers' tables give them; ResNet18's multiply-adds too.
PUBLISHED = {
    "mobilenet_v1": (569, 4.2),
    "mobilenet_v2": (300, 3.4),
    "mobilenet_v3_large": (219, 5.4),
    "mobilenet_v3_small": (56, 2.5),
    "resnet18": (1800, 11.7),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_are_the_papers(name):
    network = NETWORKS[name]().eval()
    cost = layer_cost(network, 224)
    macs, parameters = PUBLISHED[name]
    assert cost.macs / 1e6 == pytest.approx(macs, rel=0.02)
    assert cost.weights / 1e6 == pytest.approx(parameters, rel=0.03)
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 224, 224)).shape == (1, 1000)


@pytest.mark.parametrize("arithmetic", ["float", "int8"])
@pytest.mark.parametrize("name", NETWORKS)
def test_ncnn_files_write_and_read_every_blob_once(name, arithmetic):
    head, counts, *lines = ncnn_file(NETWORKS[name](), arithmetic).splitlines()
    assert head == "7767517"
    read, written = [], []
    for line in lines:
        _, _, inputs, outputs, *words = line.split()
        blobs = int(inputs) + int(outputs)
        read += words[: int(inputs)]
        written += words[int(inputs) : blobs]
        assert all("=" in word for word in words[blobs:])
        assert set(read) <= set(written)  # in the order of execution
    assert [int(count) for count in counts.split()] == [len(lines), len(written)]
    assert len(set(written)) == len(written)
    assert sorted(read) == sorted(set(written) - {"out"})
    weights = sum(
        int(word[2:]) for line in lines for word in line.split() if word.startswith(_WEIGHTS[line.split()[0]])
    )
    assert weights == layer_cost(NETWORKS[name]().eval(), 224).weights


class _Prefixes(dict):
    def __missing__(self, kind):
        return "none"


# The parameter that holds the number of weights, by kind of layer.
_WEIGHTS = _Prefixes(Convolution="6=", ConvolutionDepthWise="6=", InnerProduct="2=")
