"""Preparation by other executors: the same codes, and a word when a worker dies."""

import os
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest
import soundfile
from conftest import tone

import wavenet
from wavenet.config import DataConfig
from wavenet.errors import AudioError
from wavenet.recordings import parallel
from wavenet.recordings.preparation import Prepared, prepare


@pytest.fixture
def config(tmp_path):
    (tmp_path / "sounds").mkdir()
    for number in range(6):
        soundfile.write(tmp_path / "sounds" / f"{number}.wav", tone(300 + number, 44100, 0.5), 44100)
    (tmp_path / "sounds" / "broken.wav").write_bytes(b"RIFF")
    return DataConfig(dir=str(tmp_path / "sounds"), cache_dir=str(tmp_path / "cache"))


def same(one: Prepared, other: Prepared) -> bool:
    told = one.recordings == other.recordings and one.skipped == other.skipped
    return told and bytes(one.codes[:]) == bytes(other.codes[:])


@pytest.fixture
def expected(config, tmp_path):
    return prepare(DataConfig(dir=config.dir, cache_dir=str(tmp_path / "expected")))


def test_processes_make_what_threads_make(config, expected):
    with ProcessPoolExecutor(2) as pool:
        assert same(prepare(config, executor=pool), expected)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_dask_makes_what_threads_make(config, expected, tmp_path, monkeypatch, processes):
    distributed = pytest.importorskip("distributed", reason="needs the extra wavenet[dask]")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    workers = {"n_workers": 2, "threads_per_worker": 1, "processes": processes}
    cluster = distributed.LocalCluster(**workers, dashboard_address=None, local_directory=str(tmp_path))
    with cluster, distributed.Client(cluster) as client:
        made = wavenet.prepare(config.dir, executor=client.get_executor(), **{"data.cache_dir": config.cache_dir})
    assert same(made, expected)
    assert os.listdir(config.cache_dir) == [made.cache.name]


def test_a_worker_that_dies_is_told_and_what_was_done_is_kept(config):
    told = pytest.raises(AudioError, match="a process that decodes recordings ended by itself")
    with ThreadPoolExecutor(1) as threads, ProcessPoolExecutor(1) as processes, told:
        prepare(config, executor=Dying(threads, processes))
    after = prepare(config)
    assert len(after.recordings) == 6
    assert after.notes == ["read 4 recordings, new or changed ones; 3 were prepared before"]


class Dying(Executor):
    """Its process ends when it gets 3.wav."""

    def __init__(self, threads: ThreadPoolExecutor, processes: ProcessPoolExecutor) -> None:
        self.threads, self.processes = threads, processes

    def submit(self, function, /, *args, **kwargs) -> Future:
        if args[0][0].name == "3.wav":
            return self.processes.submit(os._exit, 1)
        return self.threads.submit(function, *args, **kwargs)


def test_an_executor_has_a_bounded_number_of_items(monkeypatch):
    class Counting(ThreadPoolExecutor):
        waiting = most = 0
        lock = threading.Lock()

        def submit(self, function, /, *args, **kwargs):
            with self.lock:
                self.waiting += 1
                self.most = max(self.most, self.waiting)
            return super().submit(function, *args, **kwargs)

    monkeypatch.setattr(parallel, "AHEAD", 20)
    for workers, most in ((3, 7), (0, 21)):
        with Counting(2) as pool:
            for number, made in enumerate(parallel.in_order(str, range(100), workers, executor=pool)):
                assert made == str(number)
                pool.waiting -= 1
            assert pool.most == most
            assert pool.submit(int).result() == 0  # it is still open


def test_an_interrupted_executor_gets_no_more_work(config, expected):
    def interrupt(done, count):
        raise KeyboardInterrupt

    with ThreadPoolExecutor(1) as pool, pytest.raises(KeyboardInterrupt):
        prepare(config, interrupt, executor=pool)
    (place,) = Path(config.cache_dir).iterdir()
    assert not list(place.glob(".parts.*"))
    assert same(prepare(config), expected)
