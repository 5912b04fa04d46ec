"""`edgesim evaluate --study qk`: its table and verdicts from known figures, its files, and one real run."""

import functools
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from edgesim.cli.main import main
from edgesim.cli.study import verdict
from edgesim.cli.study_page import bar_axis
from edgesim.training import qk_study
from tests.helpers import run_python, write_photos

Captured = pytest.CaptureFixture[str]
SVG = "{http://www.w3.org/2000/svg}"
METRICS = ("micro_ap", "recall_at_p90", "recall_at_1")


def of_seeds(*values: float) -> list[dict[str, float]]:
    return [{"micro_ap": value, "recall_at_p90": value / 2, "recall_at_1": 0.5} for value in values]


KNOWN = {
    "qk": of_seeds(0.60, 0.62, 0.64),
    "qk_query_model": of_seeds(0.59, 0.61, 0.63),
    "qk_one_head": of_seeds(0.58, 0.60, 0.62),
    "simclr": of_seeds(0.40, 0.44, 0.48),
    "moco": of_seeds(0.57, 0.59, 0.61),
}
TABLE = """\
method          micro_ap          recall_at_p90     recall_at_1
qk              0.6200 +- 0.0200  0.3100 +- 0.0100  0.5000 +- 0.0000
qk_query_model  0.6100 +- 0.0200  0.3050 +- 0.0100  0.5000 +- 0.0000
qk_one_head     0.6000 +- 0.0200  0.3000 +- 0.0100  0.5000 +- 0.0000
simclr          0.4400 +- 0.0400  0.2200 +- 0.0200  0.5000 +- 0.0000
moco            0.5900 +- 0.0200  0.2950 +- 0.0100  0.5000 +- 0.0000

By micro_ap qk is better than simclr here; there is no difference between qk and moco that 3 seeds can show.
By micro_ap there is no difference between separate heads and one head that 3 seeds can show.

images  4 of photos, 3 seeds, 20 epochs
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a folder of four images."""
    monkeypatch.chdir(tmp_path)
    write_photos(Path("photos/deep"), 4)
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the command passes to `run_study`, which answers with `KNOWN`."""
    calls: list[Any] = []

    def run_study(pixels: Any, settings: Any, seeds: int, done: Any) -> Any:
        calls.append((pixels.shape, settings, seeds))
        done()
        return KNOWN

    monkeypatch.setattr(qk_study, "run_study", run_study)
    return calls


def test_the_table_and_the_verdicts(work: Path, asked: list[Any], capsys: Captured) -> None:
    assert main(["evaluate", "--study", "qk", "photos"]) == 0
    assert capsys.readouterr() == (TABLE, "")
    assert asked == [((4, 96, 96, 3), qk_study.StudySettings(epochs=20), 3)]


def test_seeds_and_epochs(work: Path, asked: list[Any], capsys: Captured) -> None:
    assert main(["evaluate", "photos", "--study", "qk", "--seeds", "5", "--epochs", "2"]) == 0
    assert asked == [((4, 96, 96, 3), qk_study.StudySettings(epochs=2), 5)]


def test_json_and_files_say_the_same(work: Path, asked: list[Any], capsys: Captured) -> None:
    arguments = ["evaluate", "photos", "--study", "qk", "--out", "new/out"]
    assert main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["figures"] == KNOWN
    assert report["settings"] == {
        "epochs": 20,
        "batch_size": 128,
        "learning_rate": 2e-3,
        "temperature": 0.07,
        "source_size": 96,
        "input_size": 64,
        "key_steps": 20,
        "holdout": 0.25,
    }
    facts = {key: report[key] for key in ("study", "folder", "images", "seeds", "verdict")}
    assert facts == {
        "study": "qk",
        "folder": "photos",
        "images": 4,
        "seeds": 3,
        "verdict": TABLE.splitlines()[7:9],
    }
    assert json.loads(Path("new/out/study.json").read_text()) == report
    assert main(arguments) == 0
    assert capsys.readouterr().out == TABLE + "page    new/out/study.html\n"


def page(capsys: Captured) -> str:
    assert main(["evaluate", "photos", "--study", "qk", "--out", "out"]) == 0
    capsys.readouterr()
    return Path("out/study.html").read_text(encoding="utf-8")


def test_the_page_has_the_verdicts_and_the_figures(work: Path, asked: list[Any], capsys: Captured) -> None:
    text = page(capsys)
    for sentence in TABLE.splitlines()[7:9]:
        assert f'<p class="verdict">{sentence}</p>' in text
    assert text.count('<tr><th scope="row">') == 5
    assert "<td>44.00 ± 4.00</td><td>22.00 ± 2.00</td><td>50.00 ± 0.00</td>" in text
    assert "src=" not in text
    assert "href=" not in text


def test_bars_and_error_bars_stand_where_the_axis_says(
    work: Path, asked: list[Any], capsys: Captured
) -> None:
    (found,) = re.findall(r"<svg.*?</svg>", page(capsys), re.DOTALL)
    svg = ElementTree.fromstring(found)
    bars = list(svg.iter(f"{SVG}rect"))
    # 0 .. 80 percent in steps of 20, from the bars' left to 130 pixels before the right edge.
    scale = (760 - 130 - 178) / 80
    assert {bar.attrib["x"] for bar in bars} == {"178.0"}
    widths = [float(bar.attrib["width"]) for bar in bars]
    assert widths == pytest.approx([percent * scale for percent in (62, 61, 60, 44, 59)], abs=0.06)
    group = next(g for g in svg.iter(f"{SVG}g") if "simclr" in (g[0].text or ""))
    assert group[0].text == "simclr: 44.00 ± 4.00 %"
    ends = re.match(r"M(\S+) \S+L(\S+) ", group[2].attrib["d"])
    assert ends
    assert [float(x) for x in ends.groups()] == pytest.approx([178 + p * scale for p in (40, 48)], abs=0.06)
    dots = [float(dot.attrib["cx"]) for dot in group.iter(f"{SVG}circle")]
    assert dots == pytest.approx([178 + p * scale for p in (40, 44, 48)], abs=0.06)


@pytest.mark.parametrize(
    ("largest", "ticks"),
    [
        (0.0, (0, 0.1)),
        (0.55, (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)),
        (12.1, (0, 5, 10, 15)),
        (64.0, (0, 20, 40, 60, 80)),
        (100.0, (0, 20, 40, 60, 80, 100)),
    ],
)
def test_the_axis_begins_at_0(largest: float, ticks: tuple[float, ...]) -> None:
    axis = bar_axis(largest, 100, 200)
    assert axis.ticks == ticks
    assert (axis.place(0), axis.place(ticks[-1])) == (100, 200)


@pytest.mark.parametrize(
    ("simclr", "moco", "sentence"),
    [
        ((0.3, 0.3), (0.3, 0.3), "By micro_ap qk is better than simclr and moco here."),
        (
            (0.9, 0.9),
            (0.3, 0.3),
            "By micro_ap qk is better than moco here; qk is worse than simclr here.",
        ),
        (
            (0.5, 0.5),
            (0.4, 0.6),
            "By micro_ap there is no difference between qk and simclr or moco that 2 seeds can show.",
        ),
        # Means 0.1 apart; deviations 0 and 0.1 * sqrt(2) / 2 = 0.0707, then 0.2 * sqrt(2) / 2 = 0.141.
        (
            (0.35, 0.45),
            (0.3, 0.5),
            "By micro_ap qk is better than simclr here; "
            "there is no difference between qk and moco that 2 seeds can show.",
        ),
    ],
)
def test_verdicts(simclr: tuple[float, ...], moco: tuple[float, ...], sentence: str) -> None:
    figures = {"qk": of_seeds(0.5, 0.5), "simclr": of_seeds(*simclr), "moco": of_seeds(*moco)}
    assert verdict({**figures, "qk_one_head": of_seeds(0.4, 0.4)}) == [
        sentence,
        "By micro_ap separate heads are better than one head here.",
    ]
    assert verdict({**figures, "qk_one_head": of_seeds(0.6, 0.6)})[1] == (
        "By micro_ap separate heads are worse than one head here."
    )


def foreign(option: str) -> str:
    return f"{option}: does not go with --study, whose images are FOLDER; leave it out"


STUDY = ["photos", "--study", "qk"]
WRONG = [
    ([*STUDY, "--dataset", "parts"], 2, foreign("--dataset")),
    ([*STUDY, "--data-root", "data"], 2, foreign("--data-root")),
    ([*STUDY, "--engine", "litert"], 2, foreign("--engine")),
    ([*STUDY, "--limit", "200"], 2, foreign("--limit")),
    ([*STUDY, "--compare", "other.json"], 2, foreign("--compare")),
    ([*STUDY, "--seeds", "1"], 2, "--seeds: expected 2 at least, got 1"),
    ([*STUDY, "--epochs", "0"], 2, "--epochs: expected 1 at least, got 0"),
    (
        [*STUDY, "--out", "photos/deep/0000.png"],
        2,
        "photos/deep/0000.png: is a file; choose a folder with --out",
    ),
    (
        ["mnist", "--study", "qk"],
        3,
        "mnist: no such folder; pass a folder of images, better some thousand",
    ),
    (["copy", "--seeds", "3"], 2, "--seeds: goes with --study only; leave it out"),
    (["copy", "--dataset", "photos", "--epochs", "3"], 2, "--epochs: goes with --study only; leave it out"),
    (
        ["copy"],
        2,
        "--dataset is missing: pass mnist, fashion_mnist, cifar10, or a folder of class folders",
    ),
    (
        STUDY,
        3,
        "4 usable images, the study needs 100 at least; better are some thousand",
    ),
]


@pytest.mark.parametrize(("arguments", "status", "message"), WRONG)
def test_wrong_requests(
    work: Path, capsys: Captured, arguments: list[str], status: int, message: str
) -> None:
    assert main(["evaluate", *arguments]) == status
    assert capsys.readouterr() == ("", f"edgesim: {message}\n")


def test_an_unknown_study(work: Path, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["evaluate", "photos", "--study", "kq"])
    assert caught.value.code == 2
    assert "argument --study: invalid choice: 'kq'" in capsys.readouterr().err


@pytest.mark.parametrize("package", ["torch", "cv2"])
def test_a_missing_package_is_named(work: Path, package: str) -> None:
    program = (
        f"import sys\nsys.modules[{package!r}] = None\n"
        "from edgesim.cli.main import main\nsys.exit(main(['evaluate', 'photos', '--study', 'qk']))"
    )
    result = run_python("-c", program)
    assert (result.returncode, result.stdout) == (6, "")
    assert result.stderr == (
        f"edgesim: edgesim evaluate --study needs the package {package}, which is not installed. "
        "Run: pip install 'edgesim[train]'\n"
    )


def test_a_real_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    write_photos(Path("photos"), 100)
    tiny = functools.partial(
        qk_study.StudySettings, batch_size=32, source_size=20, input_size=16, key_steps=2
    )
    monkeypatch.setattr(qk_study, "StudySettings", tiny)
    arguments = ["evaluate", "photos", "--study", "qk", "--seeds", "2", "--epochs", "1", "--out", "out"]
    assert main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    torch.set_num_threads(threads)
    assert (report["images"], report["settings"]["epochs"]) == (100, 1)
    assert list(report["figures"]) == list(KNOWN)
    for figures in report["figures"].values():
        assert len(figures) == 2
        assert all(0 <= seed[metric] <= 1 for seed in figures for metric in METRICS)
    assert Path("out/study.html").read_text(encoding="utf-8").count("<rect") == 5
