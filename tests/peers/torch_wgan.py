"""The iteration in PyTorch.

`founding`: as the founding document writes it, with an LSTM cell by hand, unrolled,
and fakes that stay in the graph. `builtin`: `nn.LSTM` (its fallback kernels, which
differentiate twice) and detached fakes.
"""

import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
from shape import (BLOCKS, CORRELATION, CRITIC_STEPS, HIDDEN, LATENT, NUMERIC, PENALTY, WIDTH,
                   embedding_width, real_rows, serve)

torch.set_num_threads(2)
torch.manual_seed(0)


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
    def __init__(self, lstm):
        super().__init__()
        self.rnn = lstm(LATENT)
        self.dense = nn.Sequential(
            nn.Linear(2 * HIDDEN, HIDDEN), nn.LeakyReLU(0.1),
            nn.Linear(HIDDEN, HIDDEN), nn.LeakyReLU(0.1), nn.Linear(HIDDEN, WIDTH))

    def forward(self, noise):
        forwards, backwards = self.rnn(noise)
        logits = self.dense(torch.cat([forwards, backwards.flip(1)], -1))
        numeric, *blocks = logits.split([NUMERIC, *BLOCKS], -1)
        return torch.cat([torch.sigmoid(numeric), *[b.softmax(-1) for b in blocks]], -1)


class Critic(nn.Module):
    def __init__(self, lstm):
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(k, embedding_width(k)) for k in BLOCKS)
        width = NUMERIC + sum(embedding_width(k) for k in BLOCKS)
        self.dense = nn.Sequential(
            nn.Linear(width, HIDDEN), nn.LeakyReLU(0.1),
            nn.Linear(HIDDEN, HIDDEN), nn.LeakyReLU(0.1))
        self.rnn = lstm(HIDDEN)
        self.score = nn.Linear(2 * HIDDEN, 1)

    def forward(self, x):
        numeric, *blocks = x.split([NUMERIC, *BLOCKS], -1)
        soft = [b @ e.weight for b, e in zip(blocks, self.embeddings)]
        forwards, backwards = self.rnn(self.dense(torch.cat([numeric, *soft], -1)))
        return self.score(torch.cat([forwards[:, -1], backwards[:, -1]], -1)).squeeze(-1)


def correlation(x):
    x = x.reshape(-1, WIDTH)
    x = x - x.mean(0, keepdim=True)
    x = x / x.norm(dim=0, keepdim=True).clamp(min=1e-8)
    return x.T @ x


def make(builtin):
    def of_shape(batch, steps):
        lstm = BuiltinBiLstm if builtin else HandBiLstm
        generator, critic = Generator(lstm), Critic(lstm)
        adam = lambda net: torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.9, 0.99))
        for_generator, for_critic = adam(generator), adam(critic)
        real = torch.from_numpy(real_rows(batch, steps))
        real_correlation = correlation(real)

        def iteration():
            for _ in range(CRITIC_STEPS):
                noise = torch.randn(batch, steps, LATENT)
                if builtin:
                    with torch.no_grad():
                        fake = generator(noise)
                else:
                    fake = generator(noise)
                alpha = torch.rand(batch, 1, 1)
                between = alpha * real + (1 - alpha) * fake
                between = between.detach().requires_grad_()
                scores = critic(between)
                slopes = torch.autograd.grad(scores.sum(), between, create_graph=True)[0]
                norms = (slopes.square().sum((1, 2)) + 1e-12).sqrt()
                penalty = (norms - 1).square().mean()
                loss = critic(fake).mean() - critic(real).mean() + PENALTY * penalty
                for_critic.zero_grad()
                loss.backward()
                for_critic.step()
            fake = generator(torch.randn(batch, steps, LATENT))
            aligned = (correlation(fake) - real_correlation).abs().mean()
            loss = CORRELATION * aligned - critic(fake).mean()
            for_generator.zero_grad()
            loss.backward()
            for_generator.step()

        return iteration

    return of_shape


if __name__ == "__main__":
    builtin = sys.argv[3] == "builtin"
    serve("PyTorch, nn.LSTM" if builtin else "PyTorch, founding document", make(builtin))
