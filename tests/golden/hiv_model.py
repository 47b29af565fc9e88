"""Trajectories of the HIV model (Adams et al. 2004) by scipy, for the tests of hg-data.

python hiv_model.py FOLDER   (needs scipy and Python 3.11)
"""

import json
import sys
import tomllib
from pathlib import Path

from scipy.integrate import solve_ivp

root = Path(__file__).parents[2]
model = tomllib.loads((root / "crates/hg-data/models/art-for-hiv.model.toml").read_text())
p = model["dynamics"]
start = list(model["start"].values())
DAYS, MONTHS = 30.4375, 12


def slope(_, y, e1, e2):
    t1, t2, i1, i2, v, e = y
    infect1 = (1 - e1) * p["k_1"] * v * t1
    infect2 = (1 - p["f"] * e1) * p["k_2"] * v * t2
    i = i1 + i2
    return [
        p["lambda_1"] - p["d_1"] * t1 - infect1,
        p["lambda_2"] - p["d_2"] * t2 - infect2,
        infect1 - p["delta"] * i1 - p["m_1"] * e * i1,
        infect2 - p["delta"] * i2 - p["m_2"] * e * i2,
        (1 - e2) * p["n_t"] * p["delta"] * i - p["c"] * v - p["rho_1"] * infect1 - p["rho_2"] * infect2,
        p["lambda_e"] + p["b_e"] * i / (i + p["k_b"]) * e - p["d_e"] * i / (i + p["k_d"]) * e - p["delta_e"] * e,
    ]


courses = []
for e1, e2 in [(0.0, 0.0), (0.7, 0.0), (0.7, 0.3), (0.8, 0.4)]:
    at = [DAYS * month for month in range(1, MONTHS + 1)]
    done = solve_ivp(slope, (0, at[-1]), start, "LSODA", at, args=(e1, e2), rtol=1e-12, atol=1e-18)
    assert done.success, done.message
    courses.append({"epsilon_1": e1, "epsilon_2": e2, "states": done.y.T.tolist()})
Path(sys.argv[1], "hiv_model.json").write_text(json.dumps({"days": DAYS, "courses": courses}) + "\n")
