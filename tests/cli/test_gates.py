"""The table of an export's gates."""

from edgesim.cli.gates import describe_failures, format_gates

GATES = [
    {"model": "onnx", "gate": "bytes", "value": 9, "limit": 10, "passed": True},  # of an older bundle
    {"model": "onnx", "gate": "cosine_mean", "value": 0.5, "limit": 0.9, "passed": False, "note": ""},
    {"model": "onnx", "gate": "latency", "value": None, "limit": 5, "passed": None, "note": "elsewhere"},
]


def test_the_table():
    assert format_gates(GATES) == (
        "model  gate         value  limit   result             note\n"
        "onnx   bytes        9      < 10    pass\n"
        "onnx   cosine_mean  0.5    >= 0.9  FAIL\n"
        "onnx   latency      -      <= 5    not measured here  elsewhere"
    )


def test_the_line_about_failures():
    assert describe_failures(GATES) == "fails 1 of 3 gates: onnx cosine_mean"
    assert describe_failures([gate for gate in GATES if gate["passed"] is not False]) is None
