// The backward pass of one cell for gradients D of all its values; D_h = h̄ alone gives the backward
// pass of the hidden states:
//
//   εh_t = D_h + Uᵀ εp_{t+1}
//   εc_t = (εh_t o + D_τ)(1 − τ²) + D_c + εc_{t+1} f_{t+1}
//   εp_f = (εc_t c_{t−1} + D_f) f(1 − f)    εp_i = (εc_t a + D_i) i(1 − i)
//   εp_a = (εc_t i + D_a)(1 − a²)           εp_o = (εh_t τ + D_o) o(1 − o)

#pragma once
#include "recurrence.cuh"

namespace hg {

// Gradients below this are negligible, and numbers below the least normal one would be slow.
template <typename S>
HG_DEVICE S flush_to_zero(S x) {
    return x < S(1e-30) && -x < S(1e-30) ? S(0) : x;
}

// εc, εh and εp of one unit; `local` are the D of f, i, a, o, c, τ, h, and `carried` is
// εc_{t+1} f_{t+1} on entry, εc_t f_t on return.
template <typename S>
HG_DEVICE void backward_cell(const LstmProblem<S>& problem, const S* states, long at, int t, int unit,
                         const S (&local)[STATE_PARTS], S product, S& carried, S (&grad_pre)[4],
                         S& grad_cell, S& grad_hidden) {
    const int hidden = problem.hidden;
    S state[STATE_PARTS];
    for (int part = 0; part < STATE_PARTS; part++) {
        state[part] = value(states, at, STATE_PARTS, part, hidden, unit);
    }
    const S before = t > 0 ? value(states, at - 1, STATE_PARTS, CELL, hidden, unit) : S(0);
    grad_hidden = local[HIDDEN] + flush_to_zero(product);
    grad_cell = (grad_hidden * state[O] + local[TANH]) * tanh_slope(state[TANH]) + local[CELL] +
                flush_to_zero(carried);
    grad_pre[F] = (grad_cell * before + local[F]) * sigmoid_slope(state[F]);
    grad_pre[I] = (grad_cell * state[A] + local[I]) * sigmoid_slope(state[I]);
    grad_pre[A] = (grad_cell * state[I] + local[A]) * tanh_slope(state[A]);
    grad_pre[O] = (grad_hidden * state[TANH] + local[O]) * sigmoid_slope(state[O]);
    carried = grad_cell * state[F];
}

}  // namespace hg
