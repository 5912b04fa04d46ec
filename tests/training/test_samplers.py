"""Batches: what each holds, that an epoch covers the images, and that the seed decides alone."""

from collections import Counter

import numpy as np

from edgesim.training.samplers import class_balanced_batches, view_batches


def test_views_stand_side_by_side_and_each_image_comes_once():
    batches = list(view_batches(20, batch_size=12, views=3, seed=0, epoch=0))
    assert [len(batch) for batch in batches] == [12] * 5
    for batch in batches:
        assert (batch.reshape(4, 3) == batch[::3, None]).all()
    assert sorted(np.concatenate(batches)[::3]) == list(range(20))


def test_fewer_images_than_a_batch_takes_make_one_smaller_batch():
    (batch,) = view_batches(3, batch_size=256, views=4, seed=0, epoch=0)
    assert Counter(batch) == {0: 4, 1: 4, 2: 4}


def test_epochs_and_seeds_differ_and_repeat():
    def epoch(seed, number):
        return [batch.tolist() for batch in view_batches(50, 10, 2, seed, number)]

    assert epoch(1, 0) == epoch(1, 0)
    assert epoch(1, 0) != epoch(1, 1)
    assert epoch(1, 0) != epoch(2, 0)


def test_classes_are_balanced_in_every_batch_and_in_the_epoch():
    labels = np.repeat(np.arange(6), [5, 50, 20, 20, 20, 77])
    batches = list(class_balanced_batches(labels, batch_size=12, per_class=4, seed=0, epoch=0))
    assert len(batches) == len(labels) // 12
    seen = Counter()
    for batch in batches:
        assert sorted(Counter(labels[batch]).values()) == [4, 4, 4]
        seen.update(labels[batch].tolist())
    assert max(seen.values()) - min(seen.values()) <= 4


def test_a_class_is_used_up_before_it_starts_again():
    labels = np.repeat([0, 1], [8, 8])
    batches = list(class_balanced_batches(labels, batch_size=8, per_class=4, seed=0, epoch=0))
    assert sorted(np.concatenate(batches)) == list(range(16))


def test_fewer_classes_than_a_batch_takes_have_more_images_each():
    labels = np.repeat([0, 1, 2], 30)
    batches = list(class_balanced_batches(labels, batch_size=16, per_class=2, seed=0, epoch=0))
    assert len(batches) == 90 // 16
    for batch in batches:
        assert Counter(labels[batch]) == {0: 5, 1: 5, 2: 5}
