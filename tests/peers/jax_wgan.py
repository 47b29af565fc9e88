"""The iteration in JAX: jit over each step, scan over time."""

import jax
import jax.numpy as jnp
from shape import (BLOCKS, CORRELATION, CRITIC_STEPS, HIDDEN, LATENT, NUMERIC, PENALTY, WIDTH,
                   embedding_width, real_rows, serve)


def linear(key, inputs, outputs):
    bound = inputs ** -0.5
    a, b = jax.random.split(key)
    draw = lambda key, shape: jax.random.uniform(key, shape, minval=-bound, maxval=bound)
    return {"w": draw(a, (inputs, outputs)), "b": draw(b, (outputs,))}


def lstm(key, inputs):
    a, b = jax.random.split(key)
    return {"i2h": linear(a, inputs, 4 * HIDDEN), "h2h": linear(b, HIDDEN, 4 * HIDDEN)}


def apply(p, x):
    return x @ p["w"] + p["b"]


def run_lstm(p, x):
    """[batch, steps, inputs] → [batch, steps, HIDDEN]"""
    pre = jnp.swapaxes(apply(p["i2h"], x), 0, 1)
    zero = jnp.zeros((x.shape[0], HIDDEN))

    def step(state, pre_t):
        h, c = state
        f, i, a, o = jnp.split(pre_t + apply(p["h2h"], h), 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(a)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    return jnp.swapaxes(jax.lax.scan(step, (zero, zero), pre)[1], 0, 1)


def leaky(x):
    return jax.nn.leaky_relu(x, 0.1)


def split(x):
    at, places = NUMERIC, []
    for levels in BLOCKS:
        places.append(at)
        at += levels
    return jnp.split(x, places, -1)


def new_generator(key):
    k = jax.random.split(key, 5)
    return {"f": lstm(k[0], LATENT), "r": lstm(k[1], LATENT), "1": linear(k[2], 2 * HIDDEN, HIDDEN),
            "2": linear(k[3], HIDDEN, HIDDEN), "3": linear(k[4], HIDDEN, WIDTH)}


def new_critic(key):
    k = jax.random.split(key, 5 + len(BLOCKS))
    width = NUMERIC + sum(map(embedding_width, BLOCKS))
    return {"f": lstm(k[0], HIDDEN), "r": lstm(k[1], HIDDEN), "1": linear(k[2], width, HIDDEN),
            "2": linear(k[3], HIDDEN, HIDDEN), "3": linear(k[4], 2 * HIDDEN, 1),
            "e": [jax.random.normal(key, (levels, embedding_width(levels)))
                  for key, levels in zip(k[5:], BLOCKS)]}


def generate(p, noise):
    reverse = run_lstm(p["r"], noise[:, ::-1])[:, ::-1]
    x = jnp.concatenate([run_lstm(p["f"], noise), reverse], -1)
    numeric, *blocks = split(apply(p["3"], leaky(apply(p["2"], leaky(apply(p["1"], x))))))
    return jnp.concatenate([jax.nn.sigmoid(numeric), *[jax.nn.softmax(b) for b in blocks]], -1)


def score(p, x):
    numeric, *blocks = split(x)
    x = jnp.concatenate([numeric, *[b @ e for b, e in zip(blocks, p["e"])]], -1)
    x = leaky(apply(p["2"], leaky(apply(p["1"], x))))
    last = [run_lstm(p["f"], x)[:, -1], run_lstm(p["r"], x[:, ::-1])[:, -1]]
    return apply(p["3"], jnp.concatenate(last, -1))[:, 0]


def correlation(x):
    x = x.reshape(-1, WIDTH)
    x = x - x.mean(0)
    x = x / jnp.maximum(jnp.sqrt(jnp.maximum((x * x).sum(0), 1e-16)), 1e-8)
    return x.T @ x


def adam(p, g, state):
    m, v, n = state
    n = n + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * g * g, v, g)
    move = lambda p, m, v: p - 1e-3 * m / (1 - 0.9 ** n) / (jnp.sqrt(v / (1 - 0.99 ** n)) + 1e-8)
    return jax.tree.map(move, p, m, v), (m, v, n)


def critic_loss(p, real, fake, alpha):
    between = alpha * real + (1 - alpha) * fake
    slopes = jax.grad(lambda x: score(p, x).sum())(between)
    norms = jnp.sqrt((slopes ** 2).sum((1, 2)) + 1e-12)
    penalty = ((norms - 1) ** 2).mean()
    return score(p, fake).mean() - score(p, real).mean() + PENALTY * penalty


def generator_loss(p, critic, noise, real_correlation):
    fake = generate(p, noise)
    aligned = jnp.abs(correlation(fake) - real_correlation).mean()
    return CORRELATION * aligned - score(critic, fake).mean()


def make(batch, steps):
    key = jax.random.key(0)
    generator, critic = new_generator(key), new_critic(key)
    fresh = lambda p: (jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p), 0.0)
    real = jnp.asarray(real_rows(batch, steps))
    state = {"g": generator, "c": critic, "ag": fresh(generator), "ac": fresh(critic), "key": key}
    real_correlation = correlation(real)

    @jax.jit
    def critic_step(generator, critic, moments, key):
        a, b = jax.random.split(key)
        fake = generate(generator, jax.random.normal(a, (batch, steps, LATENT)))
        gradient = jax.grad(critic_loss)(critic, real, fake, jax.random.uniform(b, (batch, 1, 1)))
        return adam(critic, gradient, moments)

    @jax.jit
    def generator_step(generator, critic, moments, key):
        noise = jax.random.normal(key, (batch, steps, LATENT))
        gradient = jax.grad(generator_loss)(generator, critic, noise, real_correlation)
        return adam(generator, gradient, moments)

    def iteration():
        for _ in range(CRITIC_STEPS):
            state["key"], key = jax.random.split(state["key"])
            state["c"], state["ac"] = critic_step(state["g"], state["c"], state["ac"], key)
        state["key"], key = jax.random.split(state["key"])
        state["g"], state["ag"] = generator_step(state["g"], state["c"], state["ag"], key)
        jax.block_until_ready((state["g"], state["c"]))

    return iteration


if __name__ == "__main__":
    serve("JAX, jit and scan", make)
