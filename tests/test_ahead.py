"""Work done ahead: in order, not too far, with its errors in their place, and ended when nobody asks on."""

import threading

import pytest

from edgesim.ahead import ahead


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(threads):
    gates = [threading.Event() for _ in range(6)]

    def work(number):
        # A later item is done first: each waits for its neighbour where two threads are there.
        if threads > 1 and number % 2 == 0:
            assert gates[number + 1].wait(10)
        gates[number].set()
        return number * 10

    assert list(ahead(work, range(6), threads)) == [0, 10, 20, 30, 40, 50]


def test_no_items():
    assert list(ahead(str, [])) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_no_more_than_threads_and_one_are_under_way(threads):
    taken, farthest, received = 0, 0, 0

    def items():
        nonlocal taken
        for number in range(20):
            taken += 1
            yield number

    for result in ahead(lambda number: number, items(), threads):
        assert result == received
        received += 1
        farthest = max(farthest, taken - received)
    assert received == 20
    assert farthest == threads + 1


def test_items_are_taken_by_the_caller_and_worked_on_by_others():
    callers, workers = set(), set()

    def items():
        for number in range(6):
            callers.add(threading.get_ident())
            yield number

    list(ahead(lambda _: workers.add(threading.get_ident()), items()))
    assert callers == {threading.get_ident()}
    assert threading.get_ident() not in workers


def test_an_error_comes_where_its_result_would_have_come():
    results = ahead(lambda number: 6 // (3 - number), range(6))
    assert [next(results) for _ in range(3)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_what_is_not_asked_for_is_not_begun():
    begun, before = [], threading.active_count()
    results = ahead(lambda number: begun.append(number) or number, range(1000))
    assert next(results) == 0
    results.close()
    assert set(begun) <= {0, 1, 2, 3}
    assert threading.active_count() == before
