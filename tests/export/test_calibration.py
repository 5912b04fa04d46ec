"""Which images calibrate, which ones measure, and that their pixels are the device's."""

import gzip

import numpy as np
import pytest
from PIL import Image

from edgesim.errors import InputError
from edgesim.preprocess import load_pixels, resize_image
from edgesim_export import calibration
from edgesim_export.calibration import ImageSource, find_source, prepare
from tests.helpers import photo, png, write_photos

SIZE = 32


def plain_pictures(count):
    """Return pictures of one grey each, which an unedited copy keeps."""
    return [Image.new("RGB", (40, 40), (10 + 4 * i,) * 3) for i in range(count)]


def greys(arrays):
    """Return the grey of each array that has only one."""
    return {int(pixels[0, 0, 0]) for pixels in arrays if np.ptp(pixels) == 0}


def test_many_pictures_are_split_without_overlap():
    data = prepare(ImageSource(name="greys", images=plain_pictures(60)), SIZE, 20)
    assert data.calibration.shape == data.references.shape == (20, SIZE, SIZE, 3)
    calibrating, held_out = greys(data.calibration), greys(data.references)
    assert (len(calibrating), len(held_out)) == (20, 20)
    assert not calibrating & held_out
    assert data.disjoint
    assert data.calibration_pictures == 20


def test_few_pictures_are_edited_until_there_are_enough():
    pictures = [Image.fromarray(photo(seed, 40, 40)) for seed in range(17)]
    data = prepare(ImageSource(name="photos", images=pictures), SIZE, 40)
    assert data.calibration.shape == (40, SIZE, SIZE, 3)
    assert data.references.shape == (8, SIZE, SIZE, 3)
    assert (data.calibration_pictures, data.disjoint) == (9, True)
    # The first nine are the pictures themselves, and no copy is like another.
    unedited = {resize_image(picture, SIZE).tobytes() for picture in pictures}
    held_out = {pixels.tobytes() for pixels in data.references}
    assert {pixels.tobytes() for pixels in data.calibration[:9]} == unedited - held_out
    assert len(np.unique(data.calibration, axis=0)) == 40


def test_copies_take_turns_at_the_edits_and_lie_on_another_picture(monkeypatch):
    made = []

    def record(image, edit, seed, background):
        assert background is not image
        made.append((id(image), edit, seed))
        return image

    monkeypatch.setattr(calibration, "edited_copy", record)
    prepare(ImageSource(name="greys", images=plain_pictures(20)), SIZE, 70)
    queries, calibrating = made[:120], made[120:]  # 10 pictures, 6 edits, 2 rounds; then 60 copies of 10
    assert len(calibrating) == 60
    assert len({(image, edit) for image, edit, _ in queries}) == 60
    assert len({(image, edit) for image, edit, _ in calibrating}) == 60
    assert len({seed for _, _, seed in made}) == 180


def test_fewer_than_sixteen_pictures_do_both():
    data = prepare(ImageSource(name="greys", images=plain_pictures(8)), SIZE, 16)
    assert not data.disjoint
    assert greys(data.calibration[:8]) == greys(data.references)
    assert len(data.references) == 8


def test_every_held_out_picture_is_queried_by_every_edit():
    data = prepare(ImageSource(name="greys", images=plain_pictures(40)), SIZE, 20)
    assert len(data.queries) == 20 * 6
    assert np.bincount(data.truth).tolist() == [6] * 20
    few = prepare(ImageSource(name="greys", images=plain_pictures(16)), SIZE, 100)
    assert len(few.queries) == 8 * 6 * 3  # the third round reaches 100
    # A picture of one grey stays so when it is cropped, and truth says which one it was.
    crops = slice(0, 8 * 6, 6)
    expected = few.references[few.truth[crops]]
    np.testing.assert_array_equal(few.queries[crops], expected)


def test_the_same_images_give_the_same_arrays():
    first, second = (prepare(ImageSource(name="g", images=plain_pictures(20)), SIZE, 30) for _ in range(2))
    for name in ("calibration", "references", "queries", "truth"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.summary() == second.summary()


def test_pixels_come_through_the_one_preprocessing(tmp_path):
    paths = write_photos(tmp_path, 16)
    paths[3].write_bytes(png(np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)))
    data = prepare(ImageSource(name="photos", images=paths), SIZE, 8)
    found = {pixels.tobytes() for pixels in (*data.calibration, *data.references)}
    assert found == {load_pixels(path, SIZE).tobytes() for path in paths}


def test_unreadable_images_are_passed_over(tmp_path):
    paths = write_photos(tmp_path, 20)
    for path in paths[:4]:
        path.write_bytes(b"not an image")
    data = prepare(ImageSource(name="photos", images=paths), SIZE, 100)
    assert data.calibration_pictures + len(data.references) == 16


def test_too_few_images(tmp_path):
    paths = write_photos(tmp_path, 9)
    for path in paths[:2]:
        path.write_bytes(b"not an image")
    with pytest.raises(InputError) as caught:
        prepare(ImageSource(name="parts", images=paths), SIZE, 20)
    assert str(caught.value) == (
        "parts: 7 usable images of 9, calibration needs 8 at least; "
        "pass a folder with more: --calibration FOLDER"
    )


def test_the_summary_names_what_was_used():
    summary = prepare(ImageSource(name="greys", images=plain_pictures(20)), SIZE, 12).summary()
    digest = summary.pop("calibration_sha256")
    assert len(digest) == 64
    assert summary == {
        "source": "greys",
        "calibration_images": 12,
        "calibration_pictures": 10,
        "heldout_pictures": 10,
        "heldout_queries": 60,
        "disjoint": True,
    }


def test_the_folder_that_is_named_comes_first(tmp_path):
    run, folder = tmp_path / "run", tmp_path / "mine"
    write_photos(folder, 3)
    trained_on = write_photos(tmp_path / "training", 5)
    run.mkdir()
    (run / "config.toml").write_text(f'data = "{tmp_path / "training"}"\n')
    assert find_source(folder, run, SIZE).name == "mine"
    source = find_source(None, run, SIZE)
    assert (source.name, list(source.images)) == ("training", trained_on)


@pytest.mark.parametrize(
    "config", [None, 'data = "gone"\n', 'data = "mnist"\ndata_root = "gone"\n', "data = "]
)
def test_without_training_data_the_sample_photographs_serve(tmp_path, config):
    if config is not None:
        (tmp_path / "config.toml").write_text(config)
    source = find_source(None, tmp_path, SIZE)
    assert source.name == "sample photographs"
    assert len(source.images) >= 16


def test_a_data_set_serves_by_its_pictures(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    images = np.arange(10 * 28 * 28, dtype=np.uint8).reshape(10, 28, 28)
    header = np.array([0x803, 10, 28, 28], dtype=">u4").tobytes()
    (raw / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.tobytes()))
    labels = np.array([0x801, 10], dtype=">u4").tobytes() + bytes(10)
    (raw / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    (tmp_path / "config.toml").write_text(f'data = "mnist"\ndata_root = "{tmp_path}"\n')
    source = find_source(None, tmp_path, 28)
    assert source.name == "mnist"
    np.testing.assert_array_equal(np.stack(source.images)[..., 0], images)


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(InputError) as caught:
        find_source(tmp_path / "gone", tmp_path, SIZE)
    assert str(caught.value) == f"{tmp_path / 'gone'}: no such file or folder"


def test_the_runs_training_images_serve_without_those_it_left_out(tmp_path):
    write_photos(tmp_path / "parts", 4)
    names = sorted(path.name for path in (tmp_path / "parts").iterdir())
    (tmp_path / "left-out.txt").write_text(f"{names[1]}\n{names[3]}\n")
    run = tmp_path / "run"
    run.mkdir()
    data, exclude = f'data = "{tmp_path}/parts"\n', f'exclude = "{tmp_path}/left-out.txt"\n'
    (run / "config.toml").write_text(data)
    assert [path.name for path in find_source(None, run, SIZE).images] == names
    (run / "config.toml").write_text(data + exclude)
    assert [path.name for path in find_source(None, run, SIZE).images] == [names[0], names[2]]
