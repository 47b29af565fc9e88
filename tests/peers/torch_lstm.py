"""A floor: `nn.LSTM` (on a GPU: cuDNN's), forward and backward once, both directions, at the
critic's sizes. A training iteration has about thirty such passes."""

import torch
from shape import DEVICE, HIDDEN, serve

torch.set_num_threads(2)
torch.manual_seed(0)
torch.set_default_device(DEVICE)


def make(batch, steps):
    lstm = torch.nn.LSTM(HIDDEN, HIDDEN, batch_first=True, bidirectional=True)
    x = torch.randn(batch, steps, HIDDEN, requires_grad=True)

    def run():
        lstm(x)[0].square().mean().backward()
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    return run


if __name__ == "__main__":
    serve("nn.LSTM, forward and backward once", make)
