"""One training iteration in PyTorch: five critic steps on one real batch, a generator step."""

import torch
from shape import CORRELATION, CRITIC_STEPS, LATENT, PENALTY
from torch_model import correlation


def adam(network):
    return torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.9, 0.99))


def iteration(generator, critic, for_generator, for_critic, real, draw=torch.randn, detach=False):
    """`draw` draws the noise; the code of Kuo et al. lets fakes stay in the critic's graph."""
    batch, steps, _ = real.shape
    for _ in range(CRITIC_STEPS):
        with torch.set_grad_enabled(not detach):
            fake = generator(draw(batch, steps, LATENT))
        alpha = torch.rand(batch, 1, 1)
        between = (alpha * real + (1 - alpha) * fake).detach().requires_grad_()
        slopes = torch.autograd.grad(critic(between).sum(), between, create_graph=True)[0]
        norms = (slopes.square().sum((1, 2)) + 1e-12).sqrt()
        penalty = (norms - 1).square().mean()
        loss = critic(fake).mean() - critic(real).mean() + PENALTY * penalty
        for_critic.zero_grad()
        loss.backward()
        for_critic.step()
    fake = generator(draw(batch, steps, LATENT))
    aligned = (correlation(fake) - correlation(real)).abs().mean()
    loss = CORRELATION * aligned - critic(fake).mean()
    for_generator.zero_grad()
    loss.backward()
    for_generator.step()
