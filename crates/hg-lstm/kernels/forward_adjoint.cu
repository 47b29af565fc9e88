// F's adjoint, backwards in time, for gradients that reach all of its values, in the layout of
// states; the equations are in pull_back.cuh.

#include "pull_back.cuh"

namespace hg {

template <typename S>
struct ForwardAdjoint {
    static constexpr bool FORWARDS = false;
    static constexpr int PUTS = 4;
    const S* states;  // [K, batch, steps, 7H]
    const S* direct;  // D [K, batch, steps, 7H]
    S* grad_pre;      // [K, batch, steps, 4H]

    HG_DEVICE void cell(const Task<S>& task, long at, int t, bool, int unit, const S (&product)[1],
                        S& carried, S (&put)[4]) const {
        const int hidden = task.hidden;
        S given[STATE_PARTS];
        for (int part = 0; part < STATE_PARTS; part++) {
            given[part] = value(direct, at, STATE_PARTS, part, hidden, unit);
        }
        S grad_c, grad_h;
        pull_back(task, states, at, t, unit, given, product[0], carried, put, grad_c, grad_h);
        for (int gate = 0; gate < 4; gate++) {
            grad_pre[(at * 4 + gate) * hidden + unit] = put[gate];
        }
    }
};

}  // namespace hg

#ifdef __CUDACC__
#define ENTRY(S, suffix, TF32, C)                                                                  \
    extern "C" __global__ void HG_LAUNCH(C) forward_adjoint_##suffix##_##C(                        \
        HG_TASK_PARAMETERS(S), const S* states, const S* direct, S* grad_pre) {                    \
        hg::run<TF32>(hg::ForwardAdjoint<S>{states, direct, grad_pre}, HG_TASK(S, C));             \
    }
HG_ENTRIES(ENTRY)
#undef ENTRY
#endif
