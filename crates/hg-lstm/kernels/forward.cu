// The forward pass, from h = c = 0:
//
//   p_t = pre_t + U h_{t−1}
//   f = σ(p_f)   i = σ(p_i)   a = tanh(p_a)   o = σ(p_o)
//   c_t = f c_{t−1} + i a     τ_t = tanh c_t  h_t = o τ_t

#include "recurrence.cuh"

namespace hg {

template <typename S>
HG_DEVICE S sigmoid(S x) {
    return S(1) / (S(1) + exp(-x));
}

template <typename S>
struct Forward {
    static constexpr bool FORWARDS = true;
    static constexpr int PUTS = 1;
    const S* pre;  // [K, batch, steps, 4H]
    S* states;     // [K, batch, steps, 7H]

    HG_DEVICE void cell(const LstmProblem<S>& problem, long at, int, bool, int unit, const S (&product)[4],
                        S& cell_state, S (&put)[1]) const {
        const int hidden = problem.hidden;
        S p[4];
        for (int gate = 0; gate < 4; gate++) {
            p[gate] = pre[(at * 4 + gate) * hidden + unit] + product[gate];
        }
        const S f = sigmoid(p[F]), i = sigmoid(p[I]), a = tanh(p[A]), o = sigmoid(p[O]);
        cell_state = f * cell_state + i * a;
        const S tanh_c = tanh(cell_state);
        put[0] = o * tanh_c;
        const S all[STATE_PARTS] = {f, i, a, o, cell_state, tanh_c, put[0]};
        for (int part = 0; part < STATE_PARTS; part++) {
            value(states, at, STATE_PARTS, part, hidden, unit) = all[part];
        }
    }
};

}  // namespace hg

#ifdef __CUDACC__
#define ENTRY(S, suffix, TF32, C)                                                                  \
    extern "C" __global__ void HG_LAUNCH(C) forward_##suffix##_##C(                                \
        HG_PROBLEM_PARAMETERS(S), const S* pre, S* states) {                                          \
        hg::run<TF32>(hg::Forward<S>{pre, states}, HG_PROBLEM(S, C));                                 \
    }
HG_ENTRIES(ENTRY)
#undef ENTRY
#endif
