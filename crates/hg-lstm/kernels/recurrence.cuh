// How thread blocks run a recurrence over all of its steps without leaving the kernel.
//
// A cluster of C blocks holds R rows of one direction and all H units; block b has the units
// [bW, (b+1)W), W = ceil(H/C), and keeps their share of U on chip for the whole sequence:
//
//   forwards in time   p_t += U h_{t−1}    weights [H][4][W], carried h  [H][R]
//   backwards in time  δh_t += Uᵀ δp_{t+1}  weights [4H][W],   carried δp [4H][R]
//
// At each step a thread takes one unit of TILE rows: it sums the product, computes its cells and
// puts what the next step needs into the carried values of every block of the cluster. These
// are there twice, for the step that reads and the step that is written, so one barrier of the
// cluster a step is enough. Every sum is taken in the order of its index: results do not
// depend on how many rows or blocks share the work.
//
// With TF32 (tensor_product.cuh) the warps of a block first sum the products of all its units into
// shared memory, and then its threads compute the cells.
//
// The same code compiles for the host, where emulate.cpp runs the threads of a step one after
// the other. An operation (forward.cu and the others) is a struct with
//
//   FORWARDS  the direction in time
//   PUTS      how many values a cell hands on: 1 (h or ḣ), or 4 (δp)
//   cell      what a unit of a row computes in a step

#pragma once

#ifdef __CUDACC__
#include <cooperative_groups.h>
#define HG_DEVICE __device__ __forceinline__
#else
#include <cmath>
#define HG_DEVICE inline
#endif

namespace hg {

// Rows that a thread takes.
constexpr int TILE = 4;

// What is computed: K directions of a batch [batch, steps, parts·hidden].
template <typename S>
struct LstmProblem {
    const S* u;          // [K, 4H, H]
    const S* packed;     // [K, C, 4·H·W] by pack, where U does not fit on chip; else null
    const int* lengths;  // [batch]
    int batch, steps, hidden;
    int rows;    // R
    int blocks;  // C
};

template <typename S>
HG_DEVICE int width(const LstmProblem<S>& problem) {
    return (problem.hidden + problem.blocks - 1) / problem.blocks;
}

// A thread and the memory of its block.
template <typename S>
struct Place {
    int direction, first_row, rank, thread;
    const S* weights;
    S* carried;  // [2][FORWARDS ? H : 4H][R]
    S* kept;     // [W][R]: what a cell keeps for its own next step
    S* sums;     // [OUT·W][R]: the products of a step, with TF32; else null
#ifndef __CUDACC__
    S* const* blocks;  // the carried values of each block of the cluster
#endif
};

// The carried values of another block of the cluster.
template <typename S>
HG_DEVICE S* carried_of(const Place<S>& place, int rank) {
#if defined(__CUDACC__)
#if __CUDA_ARCH__ >= 900
    return cooperative_groups::this_cluster().map_shared_rank(place.carried, rank);
#else
    return place.carried;  // without clusters there is one block
#endif
#else
    return place.blocks[rank];
#endif
}

// The weight that U has for unit `unit` in the product's row `k`, result `out`.
template <bool FORWARDS, typename S>
HG_DEVICE S weight(const LstmProblem<S>& problem, int direction, int k, int out, int unit) {
    const S* u = problem.u + (long)direction * 4 * problem.hidden * problem.hidden;
    return FORWARDS ? u[((long)out * problem.hidden + unit) * problem.hidden + k] : u[(long)k * problem.hidden + unit];
}

// Values in a block's share of the weights.
template <typename S>
HG_DEVICE long share(const LstmProblem<S>& problem) {
    return 4L * problem.hidden * width(problem);
}

// Puts block `rank`'s share of U into the layout of the product; thread `thread` of `threads`.
template <bool FORWARDS, typename S>
HG_DEVICE void pack(const LstmProblem<S>& problem, int direction, int rank, int thread, int threads, S* weights) {
    constexpr int OUT = FORWARDS ? 4 : 1;
    const int wide = width(problem);
    for (long n = thread; n < share(problem); n += threads) {
        const int unit = rank * wide + n % wide, out = n / wide % OUT, k = n / wide / OUT;
        weights[n] = unit < problem.hidden ? weight<FORWARDS>(problem, direction, k, out, unit) : S(0);
    }
}

// How many values are carried from step to step, for each row.
template <typename Op, typename S>
HG_DEVICE int carried_values(const LstmProblem<S>& problem) {
    return Op::PUTS * problem.hidden;
}

// Steps of the longest row of a slice.
template <typename S>
HG_DEVICE int longest(const LstmProblem<S>& problem, int first_row) {
    int most = 0;
    for (int n = first_row; n < first_row + problem.rows && n < problem.batch; n++) {
        most = problem.lengths[n] > most ? problem.lengths[n] : most;
    }
    return most;
}

// Products of a unit, by the direction in time: of each gate, or of the gradient for h.
template <typename Op>
struct Results {
    static constexpr int OUT = Op::FORWARDS ? 4 : 1;
};

// The carried values that step t reads: those that the step before it in the order of time left.
template <typename Op, typename S>
HG_DEVICE const S* carried_before(const LstmProblem<S>& problem, const Place<S>& place, int t) {
    const int before = Op::FORWARDS ? t : t + 1;
    return place.carried + (long)(before & 1) * carried_values<Op>(problem) * problem.rows;
}

// The products of one unit of TILE rows, as they stand in the sums of the block.
template <int OUT, typename S>
HG_DEVICE void take_product(const LstmProblem<S>& problem, const Place<S>& place, int here, int tile,
                            S (&product)[OUT][TILE]) {
    for (int out = 0; out < OUT; out++) {
        for (int r = 0; r < TILE; r++) {
            product[out][r] = place.sums[(out * width(problem) + here) * problem.rows + tile * TILE + r];
        }
    }
}

// The same, summed by the thread itself from `carried`.
template <int OUT, typename S>
HG_DEVICE void sum_product(const LstmProblem<S>& problem, const Place<S>& place, int values, const S* carried,
                           int here, int tile, S (&product)[OUT][TILE]) {
    const int wide = width(problem);
    carried += tile * TILE;
#ifdef __CUDACC__
#pragma unroll 4
#endif
    for (int k = 0; k < values; k++) {
        S from[TILE];
        for (int r = 0; r < TILE; r++) {
            from[r] = carried[k * problem.rows + r];
        }
        for (int out = 0; out < OUT; out++) {
            const S weight = place.weights[((long)k * OUT + out) * wide + here];
            for (int r = 0; r < TILE; r++) {
                product[out][r] += weight * from[r];
            }
        }
    }
}

// One thread's part of step t.
template <typename Op, typename S>
HG_DEVICE void advance(const Op& op, const LstmProblem<S>& problem, const Place<S>& place, int t) {
    constexpr int OUT = Results<Op>::OUT;
    const int wide = width(problem), values = carried_values<Op>(problem);
    const int here = place.thread % wide, tile = place.thread / wide;
    const int unit = place.rank * wide + here;
    if (unit >= problem.hidden || tile * TILE >= problem.rows) {
        return;
    }
    S product[OUT][TILE] = {};
    if (place.sums) {
        take_product(problem, place, here, tile, product);
    } else {
        sum_product(problem, place, values, carried_before<Op>(problem, place, t), here, tile, product);
    }
    const int after = Op::FORWARDS ? t + 1 : t;
    for (int r = 0; r < TILE; r++) {
        const int slot = tile * TILE + r, row = place.first_row + slot;
        if (row >= problem.batch || t >= problem.lengths[row]) {
            continue;
        }
        S sum[OUT], put[Op::PUTS];
        for (int out = 0; out < OUT; out++) {
            sum[out] = product[out][r];
        }
        const long at = ((long)place.direction * problem.batch + row) * problem.steps + t;
        op.cell(problem, at, t, t + 1 == problem.lengths[row], unit, sum, place.kept[here * problem.rows + slot], put);
        for (int rank = 0; rank < problem.blocks; rank++) {
            S* to = carried_of(place, rank) + (long)(after & 1) * values * problem.rows;
            for (int n = 0; n < Op::PUTS; n++) {
                to[(n * problem.hidden + unit) * problem.rows + slot] = put[n];
            }
        }
    }
}

// Parts of a row of states [7H]; the first four are the gates' order everywhere.
enum Part { F, I, A, O, CELL, TANH, HIDDEN, STATE_PARTS };
// Parts of a row of gradients [6H].
enum { GRAD_CELL = 4, GRAD_HIDDEN = 5, GRADIENT_PARTS = 6 };

// Value `unit` of a part in a row of `parts` parts.
template <typename S>
HG_DEVICE S& value(S* rows, long at, int parts, int part, int hidden, int unit) {
    return rows[(at * parts + part) * hidden + unit];
}

// s′ = s (1 − s), and tanh′ = 1 − a².
template <typename S>
HG_DEVICE S sigmoid_slope(S s) {
    return s - s * s;
}
template <typename S>
HG_DEVICE S tanh_slope(S a) {
    return S(1) - a * a;
}

#ifdef __CUDACC__

}  // namespace hg

#include "tensor_product.cuh"

namespace hg {

// The barrier of a cluster, which also shows every block what the others have put.
HG_DEVICE void together() {
#if __CUDA_ARCH__ >= 900
    cooperative_groups::this_cluster().sync();
#else
    __syncthreads();
#endif
}

// The kernel: grid [C, slices, K], in clusters of C blocks.
template <bool TF32, typename Op, typename S>
HG_DEVICE void run(const Op& op, const LstmProblem<S>& problem) {
    extern __shared__ __align__(128) unsigned char memory[];
    const int values = carried_values<Op>(problem), wide = width(problem);
    S* chip = reinterpret_cast<S*>(memory);
    Place<S> place;
    place.direction = blockIdx.z;
    place.first_row = blockIdx.y * problem.rows;
    place.rank = blockIdx.x;
    place.thread = threadIdx.x;
    place.carried = chip;
    place.kept = chip + 2L * values * problem.rows;
    S* next = place.kept + (long)wide * problem.rows;
    place.sums = nullptr;
    if constexpr (TF32) {
        place.sums = next;
        next += (long)Results<Op>::OUT * wide * problem.rows;
    }
    for (long n = threadIdx.x; n < 2L * values * problem.rows + (long)wide * problem.rows; n += blockDim.x) {
        chip[n] = S(0);
    }
    if (problem.packed) {
        place.weights = problem.packed + ((long)place.direction * problem.blocks + place.rank) * share(problem);
    } else {
        pack<Op::FORWARDS>(problem, place.direction, place.rank, threadIdx.x, blockDim.x, next);
        place.weights = next;
    }
    together();
    const int steps = longest(problem, place.first_row);
    for (int n = 0; n < steps; n++) {
        const int t = Op::FORWARDS ? n : steps - 1 - n;
        if constexpr (TF32) {
            const int warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
            tensor_product<Op>(problem, place, t, warp, warps);
            __syncthreads();
        }
        advance(op, problem, place, t);
        // After the last step too: nobody leaves while others put values into its memory.
        together();
    }
}

#endif

}  // namespace hg

// Entry points, which are found by name: an operation, a float type (or tf32) and C, as
// forward_f32_4.
// Every one begins with the same parameters. HG_CLUSTERS stands for architectures with clusters
// (compute capability 9.0 and above).
#ifdef __CUDACC__
#define HG_PROBLEM_PARAMETERS(S)                                                            \
    const S *u, const S *packed, const int *lengths, int batch, int steps, int hidden, int rows
#define HG_PROBLEM(S, C) hg::LstmProblem<S>{u, packed, lengths, batch, steps, hidden, rows, C}
// (float type, name, whether with TF32, C)
#ifdef HG_CLUSTERS
#define HG_LAUNCH(C) __launch_bounds__(512) __cluster_dims__(C, 1, 1)
#define HG_ENTRIES(ENTRY)                                                                \
    HG_CLUSTER_ENTRIES(ENTRY, float, f32, false)                                         \
    HG_CLUSTER_ENTRIES(ENTRY, float, tf32, true)                                         \
    HG_CLUSTER_ENTRIES(ENTRY, double, f64, false)
#define HG_CLUSTER_ENTRIES(ENTRY, S, suffix, TF32)                                       \
    ENTRY(S, suffix, TF32, 1) ENTRY(S, suffix, TF32, 2)                                  \
    ENTRY(S, suffix, TF32, 4) ENTRY(S, suffix, TF32, 8)
#else
#define HG_LAUNCH(C) __launch_bounds__(512)
#define HG_ENTRIES(ENTRY) \
    ENTRY(float, f32, false, 1) ENTRY(float, tf32, true, 1) ENTRY(double, f64, false, 1)
#endif
#endif
