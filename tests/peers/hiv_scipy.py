"""The simulated HIV patients of `health_gym/ArtForHiv-v0` in NumPy and SciPy.

The disease is the six-state model of Adams, Banks, Kwon & Tran (Math. Biosci. Eng. 1(2), 2004, eq. 2.1),
solved by `scipy.integrate.solve_ivp`; visits, measurements and reward are written as a Python programmer
would. Parameters are those of crates/hg-data/models/art-for-hiv.model.toml. Random numbers are NumPy's, so
that patients are others than the Rust program's; a month of one patient can be compared.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
from scipy.integrate import solve_ivp

MODEL = tomllib.loads(
    (Path(__file__).parents[2] / "crates/hg-data/models/art-for-hiv.model.toml").read_text()
)
MONTHS, DAYS = MODEL["patients"]["months"], MODEL["patients"]["days_per_month"]
VARYING = ("k_1", "k_2", "delta", "c", "b_e")


def slope(_, y, p, e1, e2):
    """The derivative of states ``[6, …]`` by days; parameters and efficacies are ``[…]``."""
    t1, t2, i1, i2, v, e = y
    infection_1 = (1 - e1) * p["k_1"] * v * t1
    infection_2 = (1 - p["f"] * e1) * p["k_2"] * v * t2
    i = i1 + i2
    return [
        p["lambda_1"] - p["d_1"] * t1 - infection_1,
        p["lambda_2"] - p["d_2"] * t2 - infection_2,
        infection_1 - p["delta"] * i1 - p["m_1"] * e * i1,
        infection_2 - p["delta"] * i2 - p["m_2"] * e * i2,
        (1 - e2) * p["n_t"] * p["delta"] * i
        - p["c"] * v
        - p["rho_1"] * infection_1
        - p["rho_2"] * infection_2,
        p["lambda_e"]
        + (p["b_e"] * i / (i + p["k_b"]) - p["d_e"] * i / (i + p["k_d"]) - p["delta_e"]) * e,
    ]


def month(state, parameters, e1, e2, method="LSODA", tolerance=1e-5):
    """The state ``[6]`` after a month under constant efficacies."""
    done = solve_ivp(
        slope, (0, DAYS), state, method, args=(parameters, e1, e2), rtol=tolerance, atol=tolerance * 1e-9
    )
    assert done.success, done.message
    return done.y[:, -1]


def months(states, parameters, e1, e2, tolerance=1e-5):
    """The states ``[6, N]`` of N patients after a month, solved together."""
    shape = states.shape

    def together(day, y):
        return np.concatenate(slope(day, y.reshape(shape), parameters, e1, e2))

    done = solve_ivp(together, (0, DAYS), states.ravel(), "RK45", rtol=tolerance, atol=tolerance * 1e-9)
    assert done.success, done.message
    return done.y[:, -1].reshape(shape)


class Patients:
    """N patients with reset and step, as the environment has them (without usual treatment)."""

    def __init__(self, count: int) -> None:
        self.count = count

    def reset(self, seed: int) -> np.ndarray:
        """Begin: observations ``[N, 8]``."""
        self.rng, shape = np.random.default_rng(seed), self.count
        of_patients = MODEL["patients"]
        spread = {name: self._vary(of_patients["spread"]) for name in VARYING}
        self.parameters = {
            name: value * spread.get(name, np.ones(shape)) for name, value in MODEL["dynamics"].items()
        }
        start = np.array(list(MODEL["start"].values()))[:, None]
        self.states = start * np.exp(of_patients["start_spread"] * self.rng.standard_normal((6, shape)))
        self.sex = np.where(self.rng.random(shape) < of_patients["men"], 1.0, 2.0)
        self.ethnic = self.rng.choice(4, shape, p=of_patients["ethnic_shares"]) + 1.0
        self.adherence = self.rng.uniform(MODEL["therapy"]["adherence_low"], 1.0, shape)
        measured = MODEL["measurement"]
        self.lymphocytes = measured["lymphocytes"] * self._vary(measured["lymphocytes_noise"])
        self.months, self.shown = 0, None
        return self._observe()

    def _vary(self, deviation: float) -> np.ndarray:
        return np.exp(deviation * self.rng.standard_normal(self.count))

    def _observe(self) -> np.ndarray:
        measured, before = MODEL["measurement"], self.shown
        visit = self.rng.random(self.count) < (1.0 if before is None else measured["visits"])
        with_cells = visit & (
            self.rng.random(self.count) < (1.0 if before is None else measured["cells_at_visit"])
        )
        virus = np.maximum(self.states[4] * self._vary(measured["virus_noise"]), measured["detection_limit"])
        cells = (self.states[0] + self.states[2]) / 1e3 * self._vary(measured["cells_noise"])
        relative = np.minimum(100 * cells / self.lymphocytes, 90.0)
        if before is not None:
            virus = np.where(visit, virus, before[0])
            cells = np.where(with_cells, cells, before[1])
            relative = np.where(with_cells, relative, before[2])
        self.shown = (virus, cells, relative)
        numbers = np.round([virus, cells, relative], 2)
        return np.stack([*numbers, self.sex, self.ethnic, visit, with_cells, visit], axis=1)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
        """Give regimens ``[N, 5]`` for a month: (observations, rewards, whether it is over)."""
        therapy = {name: np.array(value) for name, value in MODEL["therapy"].items()}
        base, ini, nnrti, pi, booster = actions.T
        e1 = self.adherence * (therapy["base"][base] + therapy["nnrti"][nnrti])
        e2 = self.adherence * (therapy["ini"][ini] + therapy["pi"][pi] + therapy["booster"] * booster)
        if self.count == 1:
            of_one = {name: float(value[0]) for name, value in self.parameters.items()}
            self.states[:, 0] = month(self.states[:, 0], of_one, float(e1[0]), float(e2[0]))
        else:
            self.states = months(self.states, self.parameters, e1, e2)
        self.months += 1
        observations = self._observe()
        virus, cells = observations[:, 0], observations[:, 1]
        undetected = virus <= MODEL["measurement"]["detection_limit"]
        rewards = np.where(undetected, 5.0, -0.7 * np.log10(virus)) + 0.6 * np.log10(cells)
        return observations, rewards, self.months >= MONTHS
