// The derivative of the backward pass, forward in time. Let q be the gradient of δp. The backward
// pass is linear in h̄, so its transpose is the Jacobian-vector product of the forward pass along q,
// with ṗ, ċ, ḣ the gradients of δp, δc, δh:
//
//   ṗ_t = q_t + U ḣ_{t−1}
//   ċ_t = ṗ_f f(1 − f) c_{t−1} + ṗ_i i(1 − i) a + ṗ_a (1 − a²) i + f ċ_{t−1}
//   ḣ_t = ṗ_o o(1 − o) τ + o (1 − τ²) ċ_t
//
// The gradient of h̄ is ḣ, and the values of the forward pass receive
//
//   D_f = ṗ_f δc c_{t−1}(1 − 2f) + ċ_{t−1} δc     D_i = ṗ_i δc a(1 − 2i) + ṗ_a δc (1 − a²)
//   D_a = ṗ_i δc i(1 − i) − 2 ṗ_a δc i a          D_o = ṗ_o δh τ(1 − 2o) + ċ_t δh (1 − τ²)
//   D_τ = ṗ_o δh o(1 − o) − 2 ċ_t δh o τ          D_c{t−1} = ṗ_f δc f(1 − f)

#include "recurrence.cuh"

namespace hg {

template <typename S>
struct DoubleBackward {
    static constexpr bool FORWARDS = true;
    static constexpr int PUTS = 1;
    const S* states;          // [K, batch, steps, 7H]
    const S* gradients;       // the backward pass's result [K, batch, steps, 6H]
    const S* grad_gradients;  // q in its first four parts [K, batch, steps, 6H]
    S* local;                // D [K, batch, steps, 7H], h's part 0
    S* hidden_dot;            // ḣ [K, batch, steps, H]

    HG_DEVICE void cell(const LstmProblem<S>& problem, long at, int t, bool is_last, int unit,
                        const S (&product)[4], S& cell_dot_kept, S (&put)[1]) const {
        const int hidden = problem.hidden;
        S state[STATE_PARTS], dot[4];
        for (int part = 0; part < STATE_PARTS; part++) {
            state[part] = value(states, at, STATE_PARTS, part, hidden, unit);
        }
        for (int gate = 0; gate < 4; gate++) {
            dot[gate] = value(grad_gradients, at, GRADIENT_PARTS, gate, hidden, unit) + product[gate];
        }
        const S f = state[F], i = state[I], a = state[A], o = state[O], tanh_c = state[TANH];
        const S cell_before = t > 0 ? value(states, at - 1, STATE_PARTS, CELL, hidden, unit) : S(0);
        const S cell_dot_before = cell_dot_kept;
        const S cell_dot = dot[F] * sigmoid_slope(f) * cell_before + dot[I] * sigmoid_slope(i) * a +
                           dot[A] * tanh_slope(a) * i + f * cell_dot_before;
        put[0] = dot[O] * sigmoid_slope(o) * tanh_c + o * tanh_slope(tanh_c) * cell_dot;
        cell_dot_kept = cell_dot;
        hidden_dot[at * hidden + unit] = put[0];

        const S grad_c = value(gradients, at, GRADIENT_PARTS, GRAD_CELL, hidden, unit);
        const S grad_h = value(gradients, at, GRADIENT_PARTS, GRAD_HIDDEN, hidden, unit);
        const S on_f = dot[F] * grad_c, on_i = dot[I] * grad_c, on_a = dot[A] * grad_c;
        const S on_o = dot[O] * grad_h, on_c = cell_dot * grad_h;
        const S two = S(2), one = S(1);
        const auto write = [&](long row, int part, S x) {
            value(local, row, STATE_PARTS, part, hidden, unit) = x;
        };
        write(at, F, on_f * cell_before * (one - two * f) + cell_dot_before * grad_c);
        write(at, I, on_i * a * (one - two * i) + on_a * tanh_slope(a));
        write(at, A, on_i * sigmoid_slope(i) - two * on_a * i * a);
        write(at, O, on_o * tanh_c * (one - two * o) + on_c * tanh_slope(tanh_c));
        write(at, TANH, on_o * sigmoid_slope(o) - two * on_c * o * tanh_c);
        write(at, HIDDEN, S(0));
        // Each step adds to c of the step before, and the last step's c receives nothing.
        if (t > 0) {
            write(at - 1, CELL, on_f * sigmoid_slope(f));
        }
        if (is_last) {
            write(at, CELL, S(0));
        }
    }
};

}  // namespace hg

#ifdef __CUDACC__
#define ENTRY(S, suffix, TF32, C)                                                                  \
    extern "C" __global__ void HG_LAUNCH(C) double_backward_##suffix##_##C(                     \
        HG_PROBLEM_PARAMETERS(S), const S* states, const S* gradients, const S* grad_gradients, S* local, S* hidden_dot) { \
        hg::run<TF32>(hg::DoubleBackward<S>{states, gradients, grad_gradients, local, hidden_dot}, HG_PROBLEM(S, C)); \
    }
HG_ENTRIES(ENTRY)
#undef ENTRY
#endif
