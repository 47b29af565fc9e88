// F's adjoint, backwards in time, for gradients D that reach its values; with D_h = h̄ alone it
// is B:
//
//   εh_t = D_h + Uᵀ εp_{t+1}
//   εc_t = (εh_t o + D_τ)(1 − τ²) + D_c + εc_{t+1} f_{t+1}
//   εp_f = (εc_t c_{t−1} + D_f) f(1 − f)    εp_i = (εc_t a + D_i) i(1 − i)
//   εp_a = (εc_t i + D_a)(1 − a²)           εp_o = (εh_t τ + D_o) o(1 − o)

#pragma once
#include "recurrence.cuh"

namespace hg {

// Below this a gradient has faded; slower numbers than the least normal one are not worth it.
template <typename S>
HG_DEVICE S put_out(S x) {
    return x < S(1e-30) && -x < S(1e-30) ? S(0) : x;
}

// εc, εh and εp of one unit; `direct` are the D of f, i, a, o, c, τ, h, and `carried` is
// εc_{t+1} f_{t+1} on entry, εc_t f_t on return.
template <typename S>
HG_DEVICE void pull_back(const Task<S>& task, const S* states, long at, int t, int unit,
                         const S (&direct)[STATE_PARTS], S product, S& carried, S (&grad_pre)[4],
                         S& grad_cell, S& grad_hidden) {
    const int hidden = task.hidden;
    S state[STATE_PARTS];
    for (int part = 0; part < STATE_PARTS; part++) {
        state[part] = value(states, at, STATE_PARTS, part, hidden, unit);
    }
    const S before = t > 0 ? value(states, at - 1, STATE_PARTS, CELL, hidden, unit) : S(0);
    grad_hidden = direct[HIDDEN] + put_out(product);
    grad_cell = (grad_hidden * state[O] + direct[TANH]) * tanh_slope(state[TANH]) + direct[CELL] +
                put_out(carried);
    grad_pre[F] = (grad_cell * before + direct[F]) * sigmoid_slope(state[F]);
    grad_pre[I] = (grad_cell * state[A] + direct[I]) * sigmoid_slope(state[I]);
    grad_pre[A] = (grad_cell * state[I] + direct[A]) * tanh_slope(state[A]);
    grad_pre[O] = (grad_hidden * state[TANH] + direct[O]) * sigmoid_slope(state[O]);
    carried = grad_cell * state[F];
}

}  // namespace hg
