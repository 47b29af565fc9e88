// The recurrent weights in the layout of the products (recurrence.cuh), for sizes whose share does
// not fit on chip: the kernels then read them from memory, which the L2 cache holds. Grid [C, K].

#include "recurrence.cuh"

#ifdef __CUDACC__
#define ENTRY(name, FORWARDS, S, suffix)                                                           \
    extern "C" __global__ void name##_##suffix(const S* u, int hidden, int blocks, S* packed) {    \
        const hg::LstmProblem<S> problem{u, nullptr, nullptr, 0, 0, hidden, 0, blocks};                      \
        const int rank = blockIdx.x, direction = blockIdx.y;                                       \
        S* to = packed + ((long)direction * blocks + rank) * hg::share(problem);                      \
        hg::pack<FORWARDS>(problem, direction, rank, threadIdx.x, blockDim.x, to);                    \
    }
ENTRY(pack_forwards, true, float, f32)
ENTRY(pack_forwards, true, double, f64)
ENTRY(pack_backwards, false, float, f32)
ENTRY(pack_backwards, false, double, f64)
#undef ENTRY
#endif
