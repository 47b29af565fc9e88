"""The iteration in PyTorch, to be timed.

`published`: as Kuo et al. write it, with an LSTM cell by hand, unrolled,
and fakes that stay in the graph. `builtin`: `nn.LSTM` and detached fakes; on a GPU without
cuDNN, whose LSTM cannot be differentiated twice.
"""

import sys

import torch
from shape import BLOCKS, DEVICE, NUMERIC, real_rows, serve
from torch_model import BuiltinBiLstm, Critic, Generator, HandBiLstm
from torch_step import adam, iteration

torch.set_num_threads(2)
torch.manual_seed(0)
torch.set_default_device(DEVICE)
torch.backends.cudnn.enabled = False


def make(builtin):
    def of_shape(batch, steps):
        lstm = BuiltinBiLstm if builtin else HandBiLstm
        generator, critic = Generator(lstm, NUMERIC, BLOCKS, True), Critic(lstm, NUMERIC, BLOCKS)
        optimisers = adam(generator), adam(critic)
        real = torch.from_numpy(real_rows(batch, steps)).to(DEVICE)

        def run():
            iteration(generator, critic, *optimisers, real, detach=builtin)
            if DEVICE == "cuda":
                torch.cuda.synchronize()

        return run

    return of_shape


if __name__ == "__main__":
    builtin = sys.argv[3] == "builtin"
    serve("PyTorch, nn.LSTM" if builtin else "PyTorch, as Kuo et al. write it", make(builtin))
