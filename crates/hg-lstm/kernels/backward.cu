// The backward pass, from the last step to the first, for a gradient h̄ of the hidden states:
// backward_cell.cuh with D_h = h̄ and no other D. It leaves δp, δc and δh, which the double backward
// pass needs.

#include "backward_cell.cuh"

namespace hg {

template <typename S>
struct Backward {
    static constexpr bool FORWARDS = false;
    static constexpr int PUTS = 4;
    const S* states;       // [K, batch, steps, 7H]
    const S* grad_hidden;  // h̄ [K, batch, steps, H]
    S* gradients;          // [K, batch, steps, 6H]

    HG_DEVICE void cell(const LstmProblem<S>& problem, long at, int t, bool, int unit, const S (&product)[1],
                        S& carried, S (&grad_pre)[4]) const {
        const int hidden = problem.hidden;
        const S local[STATE_PARTS] = {0, 0, 0, 0, 0, 0, grad_hidden[at * hidden + unit]};
        S grad_c, grad_h;
        backward_cell(problem, states, at, t, unit, local, product[0], carried, grad_pre, grad_c, grad_h);
        for (int gate = 0; gate < 4; gate++) {
            value(gradients, at, GRADIENT_PARTS, gate, hidden, unit) = grad_pre[gate];
        }
        value(gradients, at, GRADIENT_PARTS, GRAD_CELL, hidden, unit) = grad_c;
        value(gradients, at, GRADIENT_PARTS, GRAD_HIDDEN, hidden, unit) = grad_h;
    }
};

}  // namespace hg

#ifdef __CUDACC__
#define ENTRY(S, suffix, TF32, C)                                                                  \
    extern "C" __global__ void HG_LAUNCH(C) backward_##suffix##_##C(                                \
        HG_PROBLEM_PARAMETERS(S), const S* states, const S* grad_hidden, S* gradients) {              \
        hg::run<TF32>(hg::Backward<S>{states, grad_hidden, gradients}, HG_PROBLEM(S, C));              \
    }
HG_ENTRIES(ENTRY)
#undef ENTRY
#endif
