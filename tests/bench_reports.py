"""Reports of `edgesim bench` that nobody measured."""

from edgesim.bench_figures import (
    BoardState,
    EngineRow,
    Load,
    Memory,
    Query,
    Startup,
    Timing,
    Window,
)
from edgesim.bench_report import BenchReport, BundleFacts, FileSize, IndexFacts
from edgesim.machine import Machine

PI_4B = Machine(
    cpu="Cortex-A72",
    architecture="aarch64",
    features=("neon",),
    cores=4,
    memory_mb=3792,
    os="Debian GNU/Linux 12 (bookworm)",
    python="3.11.2",
)
COOL = BoardState(clock_mhz=1800.0, temperature_c=50.0, flags=(), flags_since_boot=())


def a_timing(*windows: float) -> Timing:
    """Return a timing of one measurement a window."""
    ordered = sorted(windows)
    return Timing(
        count=len(windows),
        mean_ms=sum(windows) / len(windows),
        sd_ms=0.5,
        min_ms=ordered[0],
        p50_ms=ordered[len(ordered) // 2],
        p90_ms=ordered[-1],
        p99_ms=ordered[-1],
        max_ms=ordered[-1],
        first_ms=windows[0],
        last_ms=windows[-1],
        per_second=1000 * len(windows) / sum(windows),
        windows_ms=windows,
        samples_ms=windows,
    )


def a_row(**changes: object) -> EngineRow:
    values: dict[str, object] = {
        "engine": "litert",
        "version": "2.3.0",
        "precision": "int8",
        "threads": 1,
        "model_bytes": 984483,
        "load_ms": 20.283,
        "first_ms": 33.9304,
        "warmup_ms": 30.2814,
        "inference": a_timing(30.0, 31.0, 30.5, 30.2, 30.4),
        "problem": None,
        "best": True,
    }
    return EngineRow(**{**values, **changes})


def a_load(*per_second: float, board: BoardState = COOL) -> Load:
    windows = tuple(
        Window(start_s=2.0 * i, seconds=2.0, per_second=value, p50_ms=1000 / value, board=board)
        for i, value in enumerate(per_second)
    )
    return Load(
        kind="burst",
        engine="litert",
        precision="int8",
        threads=1,
        per_second=sorted(per_second)[len(per_second) // 2],
        before=COOL,
        windows=windows,
        energy=None,
    )


def a_report(**changes: object) -> BenchReport:
    stage = a_timing(10.0, 10.1, 9.9, 10.0, 10.05)
    values: dict[str, object] = {
        "edgesim": "0.1.0",
        "date": "2026-01-01T00:00:00+00:00",
        "machine": PI_4B,
        "governor": "ondemand",
        "packages": {"numpy": "1.26.4"},
        "bundle": BundleFacts(
            name="copy",
            encoder_id="0123456789abcdef",
            input_size=128,
            embedding_dim=128,
            files=(FileSize(name="model.onnx", bytes=961630), FileSize(name="model.tflite", bytes=984483)),
        ),
        "index": IndexFacts(entries=100_000, search="hnsw"),
        "profile": None,
        "engine": "onnxruntime",
        "threads": 1,
        "seconds": 10.0,
        "startup": Startup(process=stage, imports=stage, load=stage, first_inference=stage, total=stage),
        "queries": (
            Query(
                megapixels=12.0,
                width=4000,
                height=3000,
                bytes=4_500_000,
                decode=stage,
                preprocess=stage,
                inference=stage,
                search=stage,
                total=a_timing(100.0, 101.0, 100.5, 99.5, 99.0),
            ),
        ),
        "engines": (a_row(),),
        "memory": Memory(peak_mib=93.5, steady_mib=80.0, seconds=(0.0, 0.5), mib=(20.0, 80.0)),
        "burst": a_load(33.0, 33.1, 32.9, 33.0, 33.2),
        "sustained": None,
        "verdicts": (),
    }
    return BenchReport(**{**values, **changes})
