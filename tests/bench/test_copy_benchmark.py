"""The plan of the copy benchmark: every image in one role, nothing that training sees, the same twice."""

import dataclasses
import hashlib
import subprocess
import sys
from collections import Counter

import heldout_split
import numpy as np
import pytest
from copy_detection import benchmark, edits
from PIL import Image

from edgesim.errors import InputError

SMALL = benchmark.Settings(
    seed=1,
    background=4,
    canvases=2,
    parts={
        "mild": benchmark.PartSettings(
            references={"natural": 4, "others": 6},
            sources={"natural": 2},
            no_match={"others": 3},
            edits=["crop", "grey"],
        ),
        "lookalikes": benchmark.PartSettings(
            references={"products": 4, "garments": 4, "natural": 2},
            sources={"products": 2, "garments": 2, "natural": 2},
            no_match={"products": 2, "garments": 2, "natural": 2},
            edits=["eighth size", "background"],
        ),
        "stacked": benchmark.PartSettings(
            references={"natural": 4, "others": 6},
            sources={"natural": 2},
            no_match={"others": 3},
            depths=[2, 3],
            per_depth=3,
        ),
    },
)
SETS = {
    "bsds500": ["a"] * 5,
    "grocery": ["x__train__p"] * 6 + ["x__test__p"] * 8,
    "clothing": ["c"] * 12,
    "casting": ["d"] * 12,
}


def write_images(root, names):
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    write_images(
        root,
        [f"{folder}/{stem}__{i}.png" for folder, stems in SETS.items() for i, stem in enumerate(stems)],
    )
    return root


@pytest.fixture
def few_heldout(monkeypatch):
    monkeypatch.setattr(heldout_split, "CLOTHING", 7)
    monkeypatch.setattr(heldout_split, "OTHERS", 12)


@pytest.fixture
def plan(sets, few_heldout):
    return benchmark.make_plan(sets, SMALL)


def sources(part, matched):
    return {query.source for query in part.queries if (query.reference is not None) == matched}


def test_no_image_plays_two_roles(plan):
    assert plan.fixed
    for part in plan.parts.values():
        roles = [set(part.references), sources(part, False), set(plan.canvases), set(plan.background)]
        assert sum(len(role) for role in roles) == len(set().union(*roles))
        assert len(set(part.references)) == len(part.references)


def test_every_copy_names_its_original(plan):
    for part in plan.parts.values():
        pairs = part.truth()
        assert len(pairs) == sum(query.reference is not None for query in part.queries)
        for query, reference in pairs:
            assert part.queries[query].source == part.references[reference]
        assert all(query.canvas in plan.canvases for query in part.queries)


def test_training_sees_the_background_only(plan, sets):
    held = {name for part in heldout_split.heldout(sets) for name in part}
    for part in plan.parts.values():
        assert set(part.references) | sources(part, True) | sources(part, False) <= held
    assert set(plan.canvases) <= held
    assert not set(plan.background) & held


def test_lookalikes_are_products_that_are_not_trained_on(plan):
    part = plan.parts["lookalikes"]
    folders = Counter(name.split("/")[0] for name in part.references)
    assert folders == {"grocery": 4, "clothing": 4, "bsds500": 2}
    assert all("__test__" in name for name in part.references if name.startswith("grocery"))


def test_counts_of_the_small_benchmark(plan):
    counts = {name: (len(of.references), len(of.truth()), len(of.queries)) for name, of in plan.parts.items()}
    assert counts == {"mild": (10, 4, 7), "lookalikes": (10, 12, 18), "stacked": (10, 12, 15)}
    labels = Counter(query.label for query in plan.parts["stacked"].queries)
    assert labels == {"depth 2": 8, "depth 3": 7}
    assert all(len(query.edits) == int(query.label[-1]) for query in plan.parts["stacked"].queries)


def test_the_benchmark_asks_what_it_says():
    settings = benchmark.read_settings()
    full = {
        name: (
            sum(of.references.values()),
            sum(of.sources.values()) * (len(of.edits) or len(of.depths) * of.per_depth),
            sum(of.no_match.values()),
        )
        for name, of in settings.parts.items()
    }
    assert full == {
        "mild": (5500, 3000, 1000),
        "lookalikes": (1500, 1800, 720),
        "stacked": (5500, 3000, 1000),
    }
    assert settings.parts["mild"].edits == list(edits.MILD)
    assert set(edits.HARD) < set(settings.parts["lookalikes"].edits) < set(edits.EDITS)
    assert settings.needed()["others"] == heldout_split.OTHERS
    assert settings.needed()["garments"] <= heldout_split.CLOTHING


def test_the_pictures_of_the_first_queries_are_the_same_twice(sets, few_heldout):
    def digest():
        benchmark.load_picture.cache_clear()
        found = hashlib.sha256()
        for part in benchmark.make_plan(sets, SMALL).parts.values():
            for query in part.queries[:20]:
                picture = benchmark.query_picture(sets, query)
                found.update(repr(picture.size).encode() + picture.tobytes())
        return found.hexdigest()

    assert digest() == digest()


def test_another_seed_makes_other_pictures(sets, few_heldout, plan):
    other = benchmark.make_plan(sets, dataclasses.replace(SMALL, seed=2))
    for name, part in plan.parts.items():
        assert part.references == other.parts[name].references
        seeds = [{query.seed for query in of.queries} for of in (part, other.parts[name])]
        assert not seeds[0] & seeds[1]


def test_any_folder_serves_in_the_same_proportions(tmp_path):
    write_images(tmp_path, [f"{i}.png" for i in range(20)])
    plan = benchmark.make_plan(tmp_path, SMALL)
    # 31 images are needed in full: 4 natural, 11 others with 2 canvases, 6 products, 6 garments, 4 to train.
    # Here 20 / 31 of every number, rounded down.
    assert sum(SMALL.needed().values()) == 31
    assert not plan.fixed
    assert plan.used.endswith("of 20 images, from one list of images, without regard to sets")
    ordered = heldout_split.by_hash(f"{i}.png" for i in range(20))
    assert plan.parts["mild"].references[:2] == tuple(ordered[:2])
    for part in plan.parts.values():
        roles = [set(part.references), sources(part, False), set(plan.canvases), set(plan.background)]
        assert sum(len(role) for role in roles) == len(set().union(*roles))
        assert all(roles)
        assert sources(part, True) <= roles[0]


def test_too_few_images_are_refused(tmp_path):
    write_images(tmp_path, [f"{i}.png" for i in range(5)])
    needed = sum(SMALL.needed().values())
    with pytest.raises(InputError) as refused:
        benchmark.make_plan(tmp_path, SMALL)
    assert str(refused.value) == (
        f"{tmp_path}: 5 images, too few for the benchmark; it needs {-(-needed // 2)} at least, and {needed} "
        "for its full size"
    )


def test_industrial_sets_are_held_out_whole_on_request(sets):
    script = heldout_split.__file__
    usual, more = (
        subprocess.run(
            [sys.executable, script, str(sets), *option], capture_output=True, text=True, check=True
        ).stdout.split()
        for option in ([], ["--industrial"])
    )
    assert len(more) == len(set(more))
    assert set(usual) <= set(more)
    assert sum(name.startswith("casting/") for name in more) == 12


def test_the_held_out_images_are_of_the_lowest_hashes(sets, few_heldout):
    held = heldout_split.heldout(sets)
    assert [len(part) for part in held] == [5, 12, 8, 7]

    def digest(name):
        return hashlib.sha256(name.encode()).hexdigest()

    clothing = [f"clothing/c__{i}.png" for i in range(12)]
    assert held.clothing == sorted(clothing, key=digest)[:7]
    rest = set(clothing[:12]) - set(held.clothing)
    rest |= {f"casting/d__{i}.png" for i in range(12)} | {f"grocery/x__train__p__{i}.png" for i in range(6)}
    assert held.others == sorted(rest, key=digest)[:12]
