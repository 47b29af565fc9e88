// B, backwards in time, for a gradient h̄ that arrives at h: F's adjoint (pull_back.cuh) with
// D_h = h̄ and no other D. It leaves δp, δc and δh, which B's own derivative needs.

#include "pull_back.cuh"

namespace hg {

template <typename S>
struct Adjoint {
    static constexpr bool FORWARDS = false;
    static constexpr int PUTS = 4;
    const S* states;       // [K, batch, steps, 7H]
    const S* grad_hidden;  // h̄ [K, batch, steps, H]
    S* gradients;          // [K, batch, steps, 6H]

    HG_DEVICE void cell(const Task<S>& task, long at, int t, bool, int unit, const S (&product)[1],
                        S& carried, S (&grad_pre)[4]) const {
        const int hidden = task.hidden;
        const S direct[STATE_PARTS] = {0, 0, 0, 0, 0, 0, grad_hidden[at * hidden + unit]};
        S grad_c, grad_h;
        pull_back(task, states, at, t, unit, direct, product[0], carried, grad_pre, grad_c, grad_h);
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
    extern "C" __global__ void HG_LAUNCH(C) adjoint_##suffix##_##C(                                \
        HG_TASK_PARAMETERS(S), const S* states, const S* grad_hidden, S* gradients) {              \
        hg::run<TF32>(hg::Adjoint<S>{states, grad_hidden, gradients}, HG_TASK(S, C));              \
    }
HG_ENTRIES(ENTRY)
#undef ENTRY
#endif
