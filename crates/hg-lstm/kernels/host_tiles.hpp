// CUDA's tiles of a matrix (mma.h) on the host, as far as tensor_product.cuh uses them: a warp's
// tile is one array.

#pragma once

#include <cstdint>
#include <cstring>

namespace nvcuda {
namespace wmma {

struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;
enum layout_t { mem_row_major, mem_col_major };
namespace precision {
struct tf32;
}

// Rows and columns of a tile.
template <typename Use, int M, int N, int K>
struct sizes;
template <int M, int N, int K>
struct sizes<matrix_a, M, N, K> {
    static constexpr int rows = M, columns = K;
};
template <int M, int N, int K>
struct sizes<matrix_b, M, N, K> {
    static constexpr int rows = K, columns = N;
};
template <int M, int N, int K>
struct sizes<accumulator, M, N, K> {
    static constexpr int rows = M, columns = N;
};

template <typename Use, int M, int N, int K, typename T, typename Layout = void>
struct fragment : sizes<Use, M, N, K> {
    using own = sizes<Use, M, N, K>;
    static constexpr int num_elements = own::rows * own::columns;
    float x[num_elements];
    float& at(int row, int column) { return x[row * own::columns + column]; }
};

// The nearest number with 10 bits of mantissa; halves go away from 0.
inline float __float_to_tf32(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    bits = (bits + 0x1000u) & ~0x1fffu;
    memcpy(&x, &bits, 4);
    return x;
}

template <typename F>
void fill_fragment(F& tile, float x) {
    for (float& each : tile.x) {
        each = x;
    }
}

template <typename Use, int M, int N, int K, typename T>
void load_matrix_sync(fragment<Use, M, N, K, T, row_major>& tile, const float* from, unsigned apart) {
    for (int n = 0; n < tile.num_elements; n++) {
        tile.x[n] = from[n / tile.columns * apart + n % tile.columns];
    }
}

template <typename Use, int M, int N, int K, typename T>
void load_matrix_sync(fragment<Use, M, N, K, T, col_major>& tile, const float* from, unsigned apart) {
    for (int n = 0; n < tile.num_elements; n++) {
        tile.x[n] = from[n % tile.columns * apart + n / tile.columns];
    }
}

template <typename Sum, typename A, typename B>
void mma_sync(Sum& to, A& a, B& b, const Sum& before) {
    Sum sum = before;
    for (int row = 0; row < sum.rows; row++) {
        for (int column = 0; column < sum.columns; column++) {
            for (int k = 0; k < a.columns; k++) {
                sum.at(row, column) += a.at(row, k) * b.at(k, column);
            }
        }
    }
    to = sum;
}

template <typename Sum>
void store_matrix_sync(float* to, Sum& tile, unsigned apart, layout_t layout) {
    for (int row = 0; row < tile.rows; row++) {
        for (int column = 0; column < tile.columns; column++) {
            to[layout == mem_col_major ? column * apart + row : row * apart + column] = tile.at(row, column);
        }
    }
}

}  // namespace wmma
}  // namespace nvcuda
