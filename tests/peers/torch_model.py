"""The networks of Kuo et al. 2022, as in their PyTorch code, with an LSTM cell by hand, unrolled;
or with `nn.LSTM` (its fallback kernels, which differentiate twice)."""

import torch
import torch.nn as nn
from shape import HIDDEN, LATENT, embedding_width


class HandLstm(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.i2h = nn.Linear(inputs, 4 * HIDDEN)
        self.h2h = nn.Linear(HIDDEN, 4 * HIDDEN)

    def forward(self, x):
        h = c = x.new_zeros(x.shape[0], HIDDEN)
        outputs = []
        for t in range(x.shape[1]):
            gates = self.i2h(x[:, t]) + self.h2h(h)
            f, i, a, o = gates.chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(a)
            h = torch.sigmoid(o) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs, 1)


class HandBiLstm(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.rnn_f, self.rnn_r = HandLstm(inputs), HandLstm(inputs)

    def forward(self, x):
        return self.rnn_f(x), self.rnn_r(x.flip(1))


class BuiltinBiLstm(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.rnn = nn.LSTM(inputs, HIDDEN, batch_first=True, bidirectional=True)

    def forward(self, x):
        forwards, backwards = self.rnn(x)[0].chunk(2, -1)
        return forwards, backwards.flip(1)


class Generator(nn.Module):
    """`flipped`: reverse outputs are put back in the order of time, which the code of Kuo et al.
    leaves out."""

    def __init__(self, lstm, numeric, blocks, flipped):
        super().__init__()
        self.widths, self.flipped = [numeric, *blocks], flipped
        self.rnn = lstm(LATENT)
        self.dense = nn.Sequential(
            nn.Linear(2 * HIDDEN, HIDDEN), nn.LeakyReLU(0.1),
            nn.Linear(HIDDEN, HIDDEN), nn.LeakyReLU(0.1), nn.Linear(HIDDEN, sum(self.widths)))

    def forward(self, noise):
        forwards, backwards = self.rnn(noise)
        backwards = backwards.flip(1) if self.flipped else backwards
        logits = self.dense(torch.cat([forwards, backwards], -1))
        numeric, *blocks = logits.split(self.widths, -1)
        return torch.cat([torch.sigmoid(numeric), *[b.softmax(-1) for b in blocks]], -1)


class Critic(nn.Module):
    def __init__(self, lstm, numeric, blocks):
        super().__init__()
        self.widths = [numeric, *blocks]
        self.embeddings = nn.ModuleList(nn.Embedding(k, embedding_width(k)) for k in blocks)
        width = numeric + sum(embedding_width(k) for k in blocks)
        self.dense = nn.Sequential(
            nn.Linear(width, HIDDEN), nn.LeakyReLU(0.1),
            nn.Linear(HIDDEN, HIDDEN), nn.LeakyReLU(0.1))
        self.rnn = lstm(HIDDEN)
        self.score = nn.Linear(2 * HIDDEN, 1)

    def forward(self, x):
        numeric, *blocks = x.split(self.widths, -1)
        soft = [b @ e.weight for b, e in zip(blocks, self.embeddings)]
        forwards, backwards = self.rnn(self.dense(torch.cat([numeric, *soft], -1)))
        return self.score(torch.cat([forwards[:, -1], backwards[:, -1]], -1)).squeeze(-1)


def correlation(x):
    x = x.reshape(-1, x.shape[-1])
    x = x - x.mean(0, keepdim=True)
    x = x / x.norm(dim=0, keepdim=True).clamp(min=1e-8)
    return x.T @ x
