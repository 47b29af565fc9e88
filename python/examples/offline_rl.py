"""A treatment policy, learnt offline from simulated and from synthetic patients, and run in the simulator.

    python python/examples/offline_rl.py --out docs/guide/src

1. Simulate a cohort of HIV patients, the "real" one here, and train a HealthGym model on it.
2. Learn a policy by discrete conservative Q-learning (CQL; Kumar et al., NeurIPS 2020, arXiv 2006.04779) from
   the simulated cohort, and one from a synthetic cohort of the model, with the same number of patients.
3. Run both, and usual care, on the same new patients in `health_gym/ArtForHiv-v0`.

Only a simulated cohort allows the third step: nobody can be treated anew to judge a policy. That is what
the environment is for. It is the simulator itself, and no learnt model.

Writes offline-rl.svg and offline-rl.json. Needs d3rlpy, gymnasium, matplotlib, pandas and pyarrow.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable
from pathlib import Path

import d3rlpy
import gymnasium as gym
import numpy as np
import structlog
import torch

from health_gym import HealthGym, Schema, simulate_art_for_hiv
from health_gym.rl import ENVIRONMENT, Encoding, Episodes, art_for_hiv_reward

SCHEMA = Path(__file__).parents[2] / "data-schemas/art-for-hiv.toml"
NEW_PATIENTS = 1_000_000
"""The seed of those that policies are run on, far from those of the cohorts."""
USUAL, SIMULATED, SYNTHETIC = "usual care", "learnt from simulated patients", "learnt from synthetic patients"

Policy = Callable[[np.ndarray, dict], np.ndarray]
"""From observations ``[N, F]`` and infos to actions ``[N, 5]``."""


def learn(cohort: Episodes, steps: int, seed: int) -> Policy:
    """A policy by discrete CQL."""
    d3rlpy.seed(seed)
    learner = d3rlpy.algos.DiscreteCQLConfig(
        gamma=cohort.encoding.discount, batch_size=64, learning_rate=5e-4, target_update_interval=500
    ).create()
    learner.fit(
        cohort.to_d3rlpy(),
        n_steps=steps,
        n_steps_per_epoch=steps,
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
        show_progress=False,
    )
    return lambda observations, _: cohort.encoding.from_index(learner.predict(observations))


def run(policy: Policy, encoding: Encoding, patients: int) -> np.ndarray:
    """The sum of each new patient's rewards over 60 months, ``[patients]``."""
    environment = gym.make_vec(ENVIRONMENT, num_envs=patients, encoding=encoding)
    observations, infos = environment.reset(seed=NEW_PATIENTS)
    returns, is_over = np.zeros(patients), np.zeros(patients, bool)
    while not is_over.all():
        observations, rewards, _, is_over, infos = environment.step(policy(observations, infos))
        returns += rewards
    return returns


def interval(returns: np.ndarray, draws: int = 2000) -> tuple[float, float]:
    """95 % of bootstrap means of ``[seeds, patients]``: seeds are drawn, and the patients of all."""
    rng = np.random.default_rng(0)
    seeds, patients = returns.shape
    means = [
        returns[np.ix_(rng.integers(seeds, size=seeds), rng.integers(patients, size=patients))].mean()
        for _ in range(draws)
    ]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def compare(options: argparse.Namespace) -> tuple[dict[str, np.ndarray], int]:
    """Returns ``[seeds, patients]`` of each policy, and the iterations that the model was trained for."""
    schema = Schema.load(SCHEMA)
    simulated = simulate_art_for_hiv(options.patients, seed=1)
    model = HealthGym(schema, seed=1, minutes=options.minutes).fit(simulated, progress=False)

    iterations = len(model.history())

    # Both cohorts, and the environment, are seen alike.
    encoding = Encoding(simulated, schema, reward=art_for_hiv_reward)
    usual = run(lambda _, infos: infos["usual_action"], encoding, options.run_patients)
    returns: dict[str, list[np.ndarray]] = {USUAL: [], SIMULATED: [], SYNTHETIC: []}
    for seed in range(options.seeds):
        returns[USUAL].append(usual)
        synthetic = model.sample(options.patients, seed=seed)
        for name, cohort in ((SIMULATED, simulated), (SYNTHETIC, synthetic)):
            policy = learn(encoding.episodes(cohort), options.steps, seed)
            returns[name].append(run(policy, encoding, options.run_patients))
            print(f"seed {seed}, {name}: {returns[name][-1].mean():.1f}", flush=True)
    return {name: np.stack(of_seeds) for name, of_seeds in returns.items()}, iterations


def summarise(returns: dict[str, np.ndarray]) -> dict[str, dict]:
    """Of each policy the mean, its interval, the means of the seeds, and the gain over usual care."""
    usual = returns[USUAL]
    return {
        name: {
            "mean": float(of_policy.mean()),
            "interval": interval(of_policy),
            "seeds": of_policy.mean(axis=1).tolist(),
            "gain": float((of_policy - usual).mean()),
            "gain_interval": interval(of_policy - usual),
        }
        for name, of_policy in returns.items()
    }


def show(found: dict[str, dict]) -> None:
    """The table."""
    print(f"\n{'policy':32}{'return over 60 months':>28}{'gain over usual care':>28}")
    for name, of_policy in found.items():
        cells = [
            f"{of_policy[mean]:.1f} ({of_policy[of_mean][0]:.1f} to {of_policy[of_mean][1]:.1f})"
            for mean, of_mean in (("mean", "interval"), ("gain", "gain_interval"))
        ]
        print(f"{name:32}{cells[0]:>28}{cells[1]:>28}")


def draw(found: dict[str, dict], patients: int, path: Path) -> None:
    """The figure: means with intervals, and a point for each seed."""
    import matplotlib

    matplotlib.use("svg")
    # The same figure gives the same file.
    matplotlib.rcParams["svg.hashsalt"] = "health_gym"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 2.6), layout="constrained")
    for place, (name, of_policy) in enumerate(found.items()):
        mean, (low, high) = of_policy["mean"], of_policy["interval"]
        axes.errorbar(mean, -place, xerr=[[mean - low], [high - mean]], fmt="o", color="black", capsize=4)
        if name != USUAL:
            axes.plot(of_policy["seeds"], [-place + 0.2] * len(of_policy["seeds"]), ".", color="grey")
    axes.set_yticks([-place for place in range(len(found))], list(found))
    axes.set_ylim(-len(found) + 0.5, 0.5)
    axes.set_xlabel(f"sum of rewards over 60 months, mean of {patients} new patients")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("--patients", type=int, default=1000, help="of each cohort")
    parser.add_argument("--minutes", type=float, default=5.0, help="of training the HealthGym model")
    parser.add_argument("--steps", type=int, default=4000, help="of CQL")
    parser.add_argument("--seeds", type=int, default=3, help="of CQL, and of the synthetic cohort")
    parser.add_argument("--run-patients", type=int, default=500, help="that policies are run on")
    parser.add_argument("--out", type=Path, default=Path("."), help="the folder for the figure")
    options = parser.parse_args()
    # d3rlpy says much; of so small a network, threads would wait for one another.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    torch.set_num_threads(1)

    returns, iterations = compare(options)
    found = summarise(returns)
    show(found)
    options.out.mkdir(parents=True, exist_ok=True)
    draw(found, options.run_patients, options.out / "offline-rl.svg")
    settings = {name: value for name, value in vars(options).items() if name != "out"}
    text = json.dumps({"settings": settings, "iterations": iterations, "returns": found}, indent=1)
    (options.out / "offline-rl.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
