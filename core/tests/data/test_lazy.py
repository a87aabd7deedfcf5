import pickle

from equipot.data._collection import LazyFrames

ASKED = []


def make(index):
    ASKED.append(index)
    return {"index": index}


def twice(frame):
    return {"index": 2 * frame["index"]}


def test_frames_are_made_when_they_are_asked_for():
    ASKED.clear()
    frames = LazyFrames(make, range(10, 20))
    some = frames[2:6].subset([0, 3]).map(twice)
    assert (len(frames), len(some), ASKED) == (10, 2, [])
    assert some[1] == {"index": 30}
    assert list(some) == [{"index": 24}, {"index": 30}]
    assert ASKED == [15, 12, 15]


def test_workers_can_have_them():
    frames = pickle.loads(pickle.dumps(LazyFrames(make, [3, 4]).map(twice)))  # noqa: S301 - our own
    assert frames[0] == {"index": 6}
