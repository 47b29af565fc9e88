"""Trains MostlyAI's TabularARGN with differential privacy on a cohort and writes a synthetic one.

python dp_mostly.py REAL.csv OUT.csv --patient ID --time DAY --levels C,D --epsilon E --minutes M
(needs mostlyai-engine, opacus, pandas, scipy; --epsilon inf trains without privacy)

A fifth of ε pays for the ranges of values, the rest for training: Opacus finds the noise with which the epochs that
are planned just spend it. Static columns go into the sequence, so that one ε covers the whole table. What that ε
leaves out:

- MostlyAI holds a fifth of the patients out as validation set. Their loss, without noise, sets the learning rate,
  the checkpoint that is kept and the end of training.
- The noise on the ranges and levels of a column is for one row more or less, not for one patient with all rows
  (`analysis.py` numbers the rows of the target as their own root keys).
- The number of patients is used as it is.

With MostlyAI's default, `--clip 1`, the noise drowns gradients that are far smaller: at ε = 8, after one epoch, the
validation loss is 0.476, with `--clip 0.01` 0.328.

Prints a line of JSON: seconds, ε spent, epochs, noise multiplier.
"""

import argparse
import json
import shutil
import time

import pandas as pd
import torch
from mostlyai.engine import TabularARGN
from mostlyai.engine.domain import DifferentialPrivacyConfig
from opacus.accountants.utils import get_noise_multiplier

RANGES = 0.2
TRAINED = 0.8
CATEGORICAL = "TABULAR_CATEGORICAL"

arguments = argparse.ArgumentParser()
arguments.add_argument("real")
arguments.add_argument("out")
arguments.add_argument("--patient", required=True)
arguments.add_argument("--time", required=True)
arguments.add_argument("--levels", required=True)
arguments.add_argument("--epsilon", type=float, required=True)
arguments.add_argument("--delta", type=float, default=5e-6)
arguments.add_argument("--minutes", type=float, required=True)
arguments.add_argument("--epochs", type=float, default=1)
arguments.add_argument("--batch-size", type=int, default=128)
arguments.add_argument("--patients", type=int, default=5000)
arguments.add_argument("--clip", type=float, default=1.0)
arguments.add_argument("--seed", type=int, default=1)
arguments = arguments.parse_args()
torch.set_num_threads(1)

table = pd.read_csv(arguments.real).sort_values([arguments.patient, arguments.time], kind="stable")
table = table.drop(columns=arguments.time)
levels = arguments.levels.split(",")
table[levels] = table[levels].astype(str)

private = arguments.epsilon < float("inf")
privacy, noise = None, 0.0
if private:
    noise = get_noise_multiplier(
        target_epsilon=(1 - RANGES) * arguments.epsilon, target_delta=arguments.delta, epochs=arguments.epochs,
        sample_rate=arguments.batch_size / (TRAINED * table[arguments.patient].nunique()), accountant="rdp")
    privacy = DifferentialPrivacyConfig(
        max_epsilon=arguments.epsilon, delta=arguments.delta, noise_multiplier=noise, max_grad_norm=arguments.clip,
        value_protection_epsilon=RANGES * arguments.epsilon)

workspace = f"{arguments.out}.workspace"
shutil.rmtree(workspace, ignore_errors=True)
model = TabularARGN(
    max_training_time=arguments.minutes, max_epochs=arguments.epochs if private else 100,
    batch_size=arguments.batch_size, max_sequence_window=int(table.groupby(arguments.patient).size().max()),
    enable_flexible_generation=False, differential_privacy=privacy, tgt_context_key=arguments.patient,
    tgt_encoding_types={name: CATEGORICAL for name in levels}, model="MOSTLY_AI/Small", device="cpu",
    workspace_dir=workspace, random_state=arguments.seed, verbose=1)
start = time.time()
model.fit(table)
seconds = time.time() - start
progress = pd.read_csv(f"{workspace}/ModelStore/model-data/progress-messages.csv")
kept = progress[progress.is_checkpoint == 1].iloc[-1]

synthetic = model.sample(n_samples=arguments.patients)
synthetic[arguments.time] = synthetic.groupby(arguments.patient).cumcount()
synthetic.to_csv(arguments.out, index=False)
print(json.dumps({
    "epsilon": arguments.epsilon, "noise": noise, "seconds": round(seconds),
    "cpu_seconds": round(time.process_time()), "epochs_trained": float(progress.epoch.max()),
    "epoch_kept": float(kept.epoch), "epsilon_spent": float(progress.dp_eps.max()) if private else None,
}))
