// The backward pass for gradients of all values of the forward pass, in the layout of states; the
// equations are in backward_cell.cuh.

#include "backward_cell.cuh"

namespace hg {

template <typename S>
struct StateBackward {
    static constexpr bool FORWARDS = false;
    static constexpr int PUTS = 4;
    const S* states;  // [K, batch, steps, 7H]
    const S* local;  // D [K, batch, steps, 7H]
    S* grad_pre;      // [K, batch, steps, 4H]

    HG_DEVICE void cell(const LstmProblem<S>& problem, long at, int t, bool, int unit, const S (&product)[1],
                        S& carried, S (&put)[4]) const {
        const int hidden = problem.hidden;
        S given[STATE_PARTS];
        for (int part = 0; part < STATE_PARTS; part++) {
            given[part] = value(local, at, STATE_PARTS, part, hidden, unit);
        }
        S grad_c, grad_h;
        backward_cell(problem, states, at, t, unit, given, product[0], carried, put, grad_c, grad_h);
        for (int gate = 0; gate < 4; gate++) {
            grad_pre[(at * 4 + gate) * hidden + unit] = put[gate];
        }
    }
};

}  // namespace hg

#ifdef __CUDACC__
#define ENTRY(S, suffix, TF32, C)                                                                  \
    extern "C" __global__ void HG_LAUNCH(C) state_backward_##suffix##_##C(                        \
        HG_PROBLEM_PARAMETERS(S), const S* states, const S* local, S* grad_pre) {                    \
        hg::run<TF32>(hg::StateBackward<S>{states, local, grad_pre}, HG_PROBLEM(S, C));             \
    }
HG_ENTRIES(ENTRY)
#undef ENTRY
#endif
