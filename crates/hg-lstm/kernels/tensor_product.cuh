// The products of a step on tensor cores, in TF32: operands of 10 bits of mantissa, sums in f32.
//
//   sums [R, OUT·W] = carried [R, values] · weights [values, OUT·W]
//
// by tiles of 16 × 16 results, each summed over 8 values at a time; a warp takes every `warps`-th
// tile. It takes R = 16, values that 8 divides and OUT·W that 16 divides.

#pragma once

#ifdef __CUDACC__
#include <mma.h>
#else
#include "host_tiles.hpp"
#endif

namespace hg {

constexpr int WARP = 32;

template <typename Op>
HG_DEVICE void tensor_product(const LstmProblem<float>& problem, const Place<float>& place, int t, int warp,
                              int warps) {
    using namespace nvcuda::wmma;
    const int values = carried_values<Op>(problem), results = Results<Op>::OUT * width(problem);
    const float* carried = carried_before<Op>(problem, place, t);
    for (int column = 16 * warp; column < results; column += 16 * warps) {
        fragment<accumulator, 16, 16, 8, float> sum;
        fill_fragment(sum, 0.0f);
        for (int k = 0; k < values; k += 8) {
            // Rows lie side by side in what is carried: a column after the other.
            fragment<matrix_a, 16, 16, 8, precision::tf32, col_major> from;
            fragment<matrix_b, 16, 16, 8, precision::tf32, row_major> weights;
            load_matrix_sync(from, carried + k * problem.rows, problem.rows);
            load_matrix_sync(weights, place.weights + (long)k * results + column, results);
            for (int n = 0; n < from.num_elements; n++) {
                from.x[n] = __float_to_tf32(from.x[n]);
            }
            for (int n = 0; n < weights.num_elements; n++) {
                weights.x[n] = __float_to_tf32(weights.x[n]);
            }
            mma_sync(sum, from, weights, sum);
        }
        store_matrix_sync(place.sums + column * problem.rows, sum, problem.rows, mem_col_major);
    }
}

}  // namespace hg
