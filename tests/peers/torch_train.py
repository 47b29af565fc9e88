"""Trains the method of Kuo et al. 2022, as in their PyTorch code, on a cohort that `hg encode` wrote, and
writes a synthetic one for `hg decode`.

python torch_train.py ENCODED.safetensors OUT.safetensors --iterations N --batch-size B --seed S

As there: noise from U(0, 1), reverse outputs as they come, batches of one length, shortest
first in every epoch, the last weights for sampling.
"""

import argparse
import json

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from shape import LATENT
from torch_model import Critic, Generator, HandBiLstm
from torch_step import adam, iteration

arguments = argparse.ArgumentParser()
arguments.add_argument("encoded")
arguments.add_argument("out")
arguments.add_argument("--iterations", type=int, required=True)
arguments.add_argument("--batch-size", type=int, required=True)
arguments.add_argument("--seed", type=int, required=True)
arguments.add_argument("--threads", type=int, default=2)
arguments = arguments.parse_args()
torch.set_num_threads(arguments.threads)
torch.manual_seed(arguments.seed)
rng = np.random.default_rng(arguments.seed)

with safe_open(arguments.encoded, "np") as file:
    values, lengths = file.get_tensor("values"), file.get_tensor("lengths")
    numeric = int(file.metadata()["numeric_features"])
    blocks = json.loads(file.metadata()["blocks"])


def epoch():
    """Batches of one length each, shortest first."""
    for length in np.unique(lengths):
        patients = np.flatnonzero(lengths == length)
        rng.shuffle(patients)
        for start in range(0, len(patients), arguments.batch_size):
            yield values[patients[start:start + arguments.batch_size], :length]


generator, critic = Generator(HandBiLstm, numeric, blocks, False), Critic(HandBiLstm, numeric, blocks)
optimisers = adam(generator), adam(critic)
done = 0
while done < arguments.iterations:
    for real in epoch():
        if done == arguments.iterations:
            break
        iteration(generator, critic, *optimisers, torch.from_numpy(real), draw=torch.rand)
        done += 1
        if done % 50 == 0:
            print(done, flush=True)

made = np.zeros_like(values)
drawn = rng.choice(lengths, len(lengths))
with torch.no_grad():
    for length in np.unique(drawn):
        patients = np.flatnonzero(drawn == length)
        made[patients, :length] = generator(torch.rand(len(patients), int(length), LATENT)).numpy()
save_file({"values": made, "lengths": drawn.astype(np.int64)}, arguments.out)
