"""Golden values from PyTorch, in f64, for crates/hg-train/tests/goldens.rs.

`cargo xtask fixtures` runs this with pinned packages. The networks follow
Kuo et al. (Scientific Data 9:693, 2022) with state dicts in its names; rows of
different length run one by one, so that nothing here depends on padding.
"""

import sys
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

torch.set_default_dtype(torch.float64)
torch.manual_seed(20221109)

NUMERIC, BLOCKS = 2, [2, 3]
WIDTH = NUMERIC + sum(BLOCKS)
HIDDEN, LATENT, STEPS = 5, 3, 5
LENGTHS = [5, 3, 1]
PENALTY_WEIGHT = CORRELATION_WEIGHT = 10.0


class Lstm(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.i2h = nn.Linear(inputs, 4 * HIDDEN)
        self.h2h = nn.Linear(HIDDEN, 4 * HIDDEN)

    def forward(self, x):
        """[steps, inputs] → [steps, HIDDEN]"""
        h = c = torch.zeros(HIDDEN)
        outputs = []
        for x_t in x:
            f, i, a, o = (self.i2h(x_t) + self.h2h(h)).chunk(4)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(a)
            h = torch.sigmoid(o) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn_f, self.rnn_r = Lstm(LATENT), Lstm(LATENT)
        self.linear1 = nn.Linear(2 * HIDDEN, HIDDEN)
        self.linear2 = nn.Linear(HIDDEN, HIDDEN)
        self.linear3 = nn.Linear(HIDDEN, WIDTH)

    def row(self, noise, flip_back):
        reverse = self.rnn_r(noise.flip(0))
        x = torch.cat([self.rnn_f(noise), reverse.flip(0) if flip_back else reverse], -1)
        x = F.leaky_relu(self.linear1(x), 0.1)
        x = F.leaky_relu(self.linear2(x), 0.1)
        numeric, *blocks = self.linear3(x).split([NUMERIC, *BLOCKS], -1)
        return torch.cat([torch.sigmoid(numeric), *[b.softmax(-1) for b in blocks]], -1)

    def forward(self, noise, flip_back=True):
        """[batch, steps, LATENT] → one [length, WIDTH] a row"""
        return [self.row(z[:length], flip_back) for z, length in zip(noise, LENGTHS)]


def comparison(row):
    """The change from the step before, and the distance from the mean."""
    return torch.cat([row - torch.cat([row[:1], row[:-1]]), row - row.mean(0)], -1)


def carry(row):
    """The numbers and the block of two repeat the step before by the first level of the block of three."""
    carried = NUMERIC + BLOCKS[0]
    rows = [row[0]]
    for x in row[1:]:
        y = x[:carried] + x[carried] * (rows[-1][:carried] - x[:carried])
        rows.append(torch.cat([y, x[carried:]]))
    return torch.stack(rows)


class Critic(nn.Module):
    def __init__(self, compares=False):
        super().__init__()
        widths = [2 if k == 2 else 4 for k in BLOCKS]
        self.embedding_layers = nn.ModuleList(nn.Embedding(k, e) for k, e in zip(BLOCKS, widths))
        self.linear1 = nn.Linear(NUMERIC + sum(widths), HIDDEN)
        self.linear2 = nn.Linear(HIDDEN, HIDDEN)
        self.rnn_f, self.rnn_r = Lstm(HIDDEN), Lstm(HIDDEN)
        self.linear3 = nn.Linear(2 * HIDDEN, 1)
        self.compared = nn.Linear(2 * WIDTH, HIDDEN, bias=False) if compares else None

    def forward(self, row):
        numeric, *blocks = row.split([NUMERIC, *BLOCKS], -1)
        soft = [b @ e.weight for b, e in zip(blocks, self.embedding_layers)]
        x = self.linear1(torch.cat([numeric, *soft], -1))
        if self.compared is not None:
            x = x + self.compared(comparison(row))
        x = F.leaky_relu(self.linear2(F.leaky_relu(x, 0.1)), 0.1)
        last = torch.cat([self.rnn_f(x)[-1], self.rnn_r(x.flip(0))[-1]])
        return self.linear3(last).squeeze(0)


def correlation(rows):
    x = torch.cat(rows)
    x = x - x.mean(0, keepdim=True)
    x = x / x.norm(dim=0, keepdim=True).clamp(min=1e-8)
    return x.T @ x


def padded(rows):
    return torch.stack([F.pad(row.detach(), (0, 0, 0, STEPS - len(row))) for row in rows])


generator, critic = Generator(), Critic()
values = {}


def step(prefix, network, loss):
    """Keeps the loss, its gradients, and the weights after one Adam step."""
    network.zero_grad()
    loss.backward()
    values[f"{prefix}.loss"] = loss.detach()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.9, 0.99)).step()
    for name, p in network.named_parameters():
        values[f"{prefix}.gradient.{name}"] = p.grad.clone()
        values[f"{prefix}.after.{name}"] = p.detach().clone()
        with torch.no_grad():
            p.copy_(before[name])


batch = len(LENGTHS)
noise = torch.randn(batch, STEPS, LATENT)
alpha = torch.rand(batch)
real = []
for length in LENGTHS:
    levels = [F.one_hot(torch.randint(k, (length,)), k).double() for k in BLOCKS]
    real.append(torch.cat([torch.rand(length, NUMERIC), *levels], -1))
fake = generator(noise)
values.update(noise=noise, alpha=alpha, real=padded(real), fake=padded(fake))
values["fake_health_gym"] = padded(generator(noise, flip_back=False))
values["scores"] = torch.stack([critic(row) for row in real]).detach()

# One LSTM: Σ weights ⊙ h and its gradients for input and parameters.
lstm = generator.rnn_f
x = noise.clone().requires_grad_()
weights = torch.randn(batch, STEPS, HIDDEN)
hidden = [lstm(row[:length]) for row, length in zip(x, LENGTHS)]
total = sum((h * w[: len(h)]).sum() for h, w in zip(hidden, weights))
generator.zero_grad()
total.backward()
values.update({"lstm.weights": weights, "lstm.hidden": padded(hidden), "lstm.gradient.x": x.grad})
for name, p in lstm.named_parameters():
    values[f"lstm.gradient.{name}"] = p.grad.clone()

def score(critic, rows):
    return torch.stack([critic(row) for row in rows]).mean()


def critic_step(prefix, critic):
    """The critic's loss with its gradient penalty."""
    constant = [row.detach() for row in fake]
    between = [(a * r + (1 - a) * f).requires_grad_() for a, r, f in zip(alpha, real, constant)]
    scores = torch.stack([critic(row) for row in between])
    slopes = torch.autograd.grad(scores.sum(), between, create_graph=True)
    norms = torch.stack([(g.square().sum() + 1e-12).sqrt() for g in slopes])
    penalty = (norms - 1).square().mean()
    values[f"{prefix}.slopes"] = padded(slopes)
    values[f"{prefix}.penalty"] = penalty.detach()
    loss = score(critic, constant) - score(critic, real) + PENALTY_WEIGHT * penalty
    step(prefix, critic, loss)


critic_step("critic", critic)

# The generator's loss with its correlation alignment.
alignment = (correlation(fake) - correlation(real)).abs().mean()
values["generator.alignment"] = alignment.detach()
step("generator", generator, CORRELATION_WEIGHT * alignment - score(critic, fake))

# A critic that compares each row with the one before and with the mean.
comparing = Critic(compares=True)
values["comparing.scores"] = torch.stack([comparing(row) for row in real]).detach()
critic_step("comparing", comparing)

# The generator's loss beside such a critic.
fake = generator(noise)
alignment = (correlation(fake) - correlation(real)).abs().mean()
values["compared.alignment"] = alignment.detach()
step("compared", generator, CORRELATION_WEIGHT * alignment - score(comparing, fake))

# A generator that carries, beside the same critic.
fake = [carry(row) for row in generator(noise)]
values["carrying.fake"] = padded(fake)
alignment = (correlation(fake) - correlation(real)).abs().mean()
values["carrying.alignment"] = alignment.detach()
step("carrying", generator, CORRELATION_WEIGHT * alignment - score(comparing, fake))

folder = Path(sys.argv[1])
contiguous = lambda tensors: {name: t.detach().contiguous() for name, t in tensors.items()}
save_file(contiguous(values), folder / "values.safetensors")
save_file(contiguous(generator.state_dict()), folder / "generator.safetensors")
torch.save(generator.state_dict(), folder / "generator.pt")
save_file(contiguous(critic.state_dict()), folder / "critic.safetensors")
save_file(contiguous(comparing.state_dict()), folder / "comparing.safetensors")

# Weights travel back: what Rust saved loads by name and gives the same scores.
ours = folder / "critic-from-rust.safetensors"
if ours.exists():
    copy = Critic()
    copy.load_state_dict(load_file(ours))
    scores = torch.stack([copy(row) for row in real])
    assert torch.allclose(scores, values["scores"], rtol=1e-12, atol=0), scores
    print(f"{ours}: loaded, same scores")
