"""Ctrl-C, threads, and the interpreter's lock."""

import signal
import subprocess
import sys
import threading
import time

import pandas as pd
from conftest import ROOT, fit_small, visits

from health_gym import HealthGym

PRELUDE = """
import os, signal, sys, threading, time
sys.path.insert(0, 'python/tests')
from conftest import *
schema = Schema.load(PBC_SCHEMA)

is_over = threading.Event()

def interrupt(after, times=1):
    '''Ctrl-C, unless what it is for is over.'''
    is_over.clear()
    def send():
        for _ in range(times):
            if not is_over.wait(after): os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=send, daemon=True).start()

def same(a, b):
    ours, theirs = a.state_dict(), b.state_dict()
    return all((ours[name] == theirs[name]).all() for name in theirs) and a.sample(9).equals(b.sample(9))

class InTime:
    def __enter__(self): self.begun = time.monotonic()
    def __exit__(self, kind, *_):
        is_over.set()
        print('seconds', round(time.monotonic() - self.begun, 2), kind.__name__ if kind else None)
        return kind is KeyboardInterrupt
"""


def said_by(code: str, seconds: float = 60) -> list[str]:
    """What code says after the prelude, in a Python of its own."""
    command = [sys.executable, "-c", PRELUDE + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def interrupted_within(line: str, seconds: float) -> bool:
    """Whether the line says that KeyboardInterrupt came soon."""
    word, took, kind = line.split()
    return word == "seconds" and float(took) < seconds and kind == "KeyboardInterrupt"


def test_ctrl_c_ends_a_fit_soon() -> None:
    """And leaves the process as it was: an unfitted model, and another fit works."""
    said = said_by("""
model = HealthGym(schema, iterations=10**6)
interrupt(1.0)
with InTime(): model.fit(PBC, progress=False)
print(model)
print(fit_small(pd.DataFrame(visits())))
""")
    assert interrupted_within(said[0], 8)
    assert said[1:] == [
        "<health_gym.HealthGym, not fitted>",
        "<health_gym.HealthGym, fitted in 1 iterations>",
    ]


def test_a_further_fit_goes_on_to_the_same_bits() -> None:
    """As if nothing had happened; then a fit that is done begins anew."""
    said = said_by("""
small = pd.DataFrame(visits())
schema = Schema.infer(small)
make = lambda: HealthGym(schema, seed=3, iterations=1500, settings=SMALL)
whole = make().fit(small, progress=False)
model = make()
parts = 0
while True:
    interrupt(0.3)
    try: model.fit(small, progress=False)
    except KeyboardInterrupt: parts += 1
    else: break
    finally: is_over.set()
print(parts > 0, len(model.history()), same(model, whole))
print(same(model.fit(small, progress=False), whole))
""")
    assert said == ["True 1500 True", "True"]


def test_it_goes_on_where_it_was() -> None:
    """With a file as with a frame."""
    said = said_by("""
import health_gym._progress
class Bar:
    made = []
    def __init__(self, **how):
        self.initial = self.n = how['initial']
        Bar.made.append(self)
    def update(self, more): self.n += more
    def __getattr__(self, name): return lambda *_, **__: None
health_gym._progress._tqdm = lambda: Bar

make = lambda: HealthGym(schema, seed=3, iterations=300, settings=SMALL)
for data in (PBC, pd.read_csv(PBC)):
    whole = make().fit(data, progress=False)
    model, Bar.made = make(), []
    interrupt(0.25)
    with InTime(): model.fit(data)
    again = model.fit(data)
    print(Bar.made[1].initial >= Bar.made[0].n > Bar.made[0].initial, same(again, whole))
""")
    assert interrupted_within(said[0], 5)
    assert interrupted_within(said[2], 5)
    assert said[1::2] == ["True True", "True True"]


def test_other_data_or_settings_begin_anew() -> None:
    said = said_by("""
small = pd.DataFrame(visits())
other = small.assign(pressure=small.pressure + 1)
schema = Schema.infer(small)
make = lambda **also: HealthGym(schema, **{'seed': 3, 'iterations': 10**6} | also, settings=SMALL)
model = make()
interrupt(0.5)
with InTime(): model.fit(small, progress=False)
model._given['iterations'] = 2
print(same(model.fit(small, progress=False), make(iterations=2).fit(small, progress=False)))
model = make()
interrupt(0.5)
with InTime(): model.fit(small, progress=False)
interrupt(0.5)
with InTime(): model.fit(other, progress=False)
model._given['iterations'] = 2
print(same(model.fit(other, progress=False), make(iterations=2).fit(other, progress=False)))
""")
    assert [line for line in said if "seconds" not in line] == ["True", "True"]
    assert all(interrupted_within(line, 5) for line in said if "seconds" in line)


def test_the_same_values_in_other_rows_are_other_data() -> None:
    """What the encoder learns of them is the same."""
    said = said_by("""
small = pd.DataFrame(visits())
other = small.assign(pressure=small.pressure.to_numpy()[::-1].copy())
schema = Schema.infer(small)
make = lambda: HealthGym(schema, seed=3, iterations=1500, settings=SMALL)
model = make()
interrupt(0.3)
with InTime(): model.fit(small, progress=False)
print(same(model.fit(other, progress=False), make().fit(other, progress=False)))
""")
    assert interrupted_within(said[0], 5)
    assert said[1] == "True"


def test_a_model_that_was_fitted_survives_an_interrupted_fit() -> None:
    said = said_by("""
small = pd.DataFrame(visits())
model = fit_small(small)
before = model.sample(5)
model._given['iterations'] = 10**6
interrupt(0.5)
with InTime(): model.fit(small, progress=False)
print(model.sample(5).equals(before), model)
""")
    assert interrupted_within(said[0], 5)
    assert said[1] == "True <health_gym.HealthGym, fitted in 1 iterations>"


def test_ctrl_c_ends_other_long_work_soon() -> None:
    """Sampling and evaluating: what they do goes on unseen, and its result is dropped."""
    said = said_by(
        """
model = fit_small(pd.DataFrame(visits()))
interrupt(0.3)
with InTime(): model.sample(400_000)
real = pd.read_csv(PBC)
many = pd.concat([real.assign(id=real.id + 1000 * part) for part in range(8)])
interrupt(0.5)
with InTime(): evaluate(many, many, schema)
os._exit(0) if print(model.sample(3).shape, flush=True) is None else None
""".replace("model = fit", "from health_gym import evaluate\nmodel = fit", 1)
    )
    assert interrupted_within(said[0], 3)
    assert interrupted_within(said[1], 3)
    assert said[2] == "(15, 6)"


def test_ctrl_c_twice_does_not_wait() -> None:
    said = said_by("""
model = HealthGym(schema, iterations=10**6, settings={'model.hidden': 400, 'batching.batch_size': 312})
interrupt(0.6, times=3)
with InTime(): model.fit(PBC, progress=False)
print('alive', flush=True)
os._exit(0)
""")
    assert interrupted_within(said[0], 3)
    assert said[1] == "alive"


def test_a_signal_handler_of_the_callers_is_called() -> None:
    """Its exception comes out of fit."""
    said = said_by("""
class Alarm(Exception): pass
def ring(*_): raise Alarm('time is over')
signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.7)
try: HealthGym(schema, iterations=10**6).fit(PBC, progress=False)
except Alarm as alarm: print(alarm)
""")
    assert said == ["time is over"]


def test_ctrl_c_shows_no_panic_and_exits_as_python_does() -> None:
    code = PRELUDE + "interrupt(0.8)\nHealthGym(schema, iterations=10**6).fit(PBC, progress=False)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == -signal.SIGINT
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")
    assert "panicked" not in done.stderr


def test_other_threads_run_while_a_model_is_fitted(small: pd.DataFrame) -> None:
    counted, is_over = [0], threading.Event()

    def count() -> None:
        while not is_over.is_set():
            counted[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    begun = time.monotonic()
    fit_small(small, iterations=150)
    took = time.monotonic() - begun
    is_over.set()
    thread.join()
    assert counted[0] > 50 * took


def test_two_fits_in_two_threads_are_as_one_after_the_other() -> None:
    tables = [pd.DataFrame(visits(patients)) for patients in (20, 40)]
    made: dict[int, HealthGym] = {}

    def fit(n: int) -> None:
        made[n] = fit_small(tables[n], iterations=40, seed=n)

    threads = [threading.Thread(target=fit, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, table in enumerate(tables):
        expected = fit_small(table, iterations=40, seed=n)
        pd.testing.assert_frame_equal(made[n].sample(20), expected.sample(20))


def test_one_model_is_sampled_in_many_threads(small_model: HealthGym) -> None:
    expected = [small_model.sample(5, seed=seed) for seed in range(8)]
    made: dict[int, pd.DataFrame] = {}
    threads = [
        threading.Thread(target=lambda seed=seed: made.update({seed: small_model.sample(5, seed=seed)}))
        for seed in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(8):
        pd.testing.assert_frame_equal(made[seed], expected[seed])


def test_a_forked_process_is_told_to_be_spawned() -> None:
    """Threads do not come along, and it would wait for them for ever."""
    said = said_by(
        """
import multiprocessing
model = fit_small(pd.DataFrame(visits()))
def act(n):
    fit = lambda: fit_small(pd.DataFrame(visits()))
    for work in (lambda: model.sample(n), fit, lambda: pickle.loads(pickled)):
        try: work()
        except HealthGymError as error: print(error, flush=True)
pickled = pickle.dumps(model)
process = multiprocessing.get_context('fork').Process(target=act, args=(3,))
process.start(); process.join(20)
print(process.exitcode, model.sample(3).shape)
""".replace("multiprocessing\n", "multiprocessing, pickle; from health_gym import HealthGymError\n", 1)
    )
    assert said[-1] == "0 (15, 6)"
    assert said[1:-1:2] == ['hint: start it by `multiprocessing.get_context("spawn")`'] * 3


def test_a_process_forked_before_any_work_works() -> None:
    said = said_by("""
import multiprocessing
def act(): print(fit_small(pd.DataFrame(visits())).sample(3).shape, flush=True)
process = multiprocessing.get_context('fork').Process(target=act)
process.start(); process.join(20)
print(process.exitcode)
""")
    assert said == ["(15, 6)", "0"]
