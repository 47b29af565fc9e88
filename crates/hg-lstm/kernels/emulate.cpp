// The kernels on the host: the same cells and the same products, the threads of a step one after
// the other. It reads a problem from stdin and writes the result to stdout, both in binary:
//
//   in   int32[8]: operation, bytes of a number (4, 8; 2 for f32 with products in TF32), K, batch,
//        steps, H, R, C; int32[batch]: lengths; then U and the operation's inputs, in the order of its kernel's arguments
//   out  the operation's results

#include "backward.cu"
#include "double_backward.cu"
#include "forward.cu"
#include "state_backward.cu"
#include "tensor_product.cuh"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

using namespace hg;

static void must(bool holds, const char* what) {
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        exit(1);
    }
}

template <typename T>
static std::vector<T> read(long count) {
    std::vector<T> values(count);
    must(fread(values.data(), sizeof(T), count, stdin) == (size_t)count, "the input is too short");
    return values;
}

template <typename T>
static void write(const std::vector<T>& values) {
    must(fwrite(values.data(), sizeof(T), values.size(), stdout) == values.size(), "cannot write");
}

// What the kernel `run` does, for one slice of one direction.
template <bool TF32, typename Op, typename S>
static void run_slice(const Op& op, const LstmProblem<S>& problem, int direction, int first_row) {
    const long carried = 2L * carried_values<Op>(problem) * problem.rows;
    const int wide = width(problem), threads = wide * (problem.rows / TILE);
    std::vector<std::vector<S>> memory(problem.blocks), weights(problem.blocks), sums(problem.blocks);
    std::vector<S*> blocks;
    for (int rank = 0; rank < problem.blocks; rank++) {
        memory[rank].resize(carried + (long)wide * problem.rows);
        weights[rank].resize(share(problem));
        blocks.push_back(memory[rank].data());
        for (int thread = 0; thread < threads; thread++) {
            pack<Op::FORWARDS>(problem, direction, rank, thread, threads, weights[rank].data());
        }
    }
    const int steps = longest(problem, first_row);
    for (int n = 0; n < steps; n++) {
        const int t = Op::FORWARDS ? n : steps - 1 - n;
        for (int rank = 0; rank < problem.blocks; rank++) {
            const auto place = [&](int thread) {
                return Place<S>{direction,
                                first_row,
                                rank,
                                thread,
                                weights[rank].data(),
                                blocks[rank],
                                blocks[rank] + carried,
                                TF32 ? sums[rank].data() : nullptr,
                                blocks.data()};
            };
            if constexpr (TF32) {
                sums[rank].assign(Results<Op>::OUT * wide * problem.rows, 0);
                const int warps = (threads + WARP - 1) / WARP;
                for (int warp = 0; warp < warps; warp++) {
                    tensor_product<Op>(problem, place(0), t, warp, warps);
                }
            }
            for (int thread = 0; thread < threads; thread++) {
                advance(op, problem, place(thread), t);
            }
        }
    }
}

template <bool TF32, typename Op, typename S>
static void run_all(const Op& op, const LstmProblem<S>& problem, int directions) {
    for (int direction = 0; direction < directions; direction++) {
        for (int row = 0; row < problem.batch; row += problem.rows) {
            run_slice<TF32>(op, problem, direction, row);
        }
    }
}

template <bool TF32, typename S>
static void emulate(int operation, int directions, LstmProblem<S> problem) {
    const long hidden = problem.hidden, rows = (long)directions * problem.batch * problem.steps;
    const auto parts = [&](int parts) { return read<S>(rows * parts * hidden); };
    const auto room = [&](int parts) { return std::vector<S>(rows * parts * hidden); };
    const auto u = read<S>(directions * 4 * hidden * hidden);
    problem.u = u.data();
    if (operation == 0) {
        const auto pre = parts(4);
        auto states = room(STATE_PARTS);
        run_all<TF32>(Forward<S>{pre.data(), states.data()}, problem, directions);
        return write(states);
    }
    const auto states = parts(STATE_PARTS);
    if (operation == 1) {
        const auto grad_hidden = parts(1);
        auto gradients = room(GRADIENT_PARTS);
        run_all<TF32>(Backward<S>{states.data(), grad_hidden.data(), gradients.data()}, problem, directions);
        return write(gradients);
    }
    if (operation == 2) {
        const auto local = parts(STATE_PARTS);
        auto grad_pre = room(4);
        run_all<TF32>(StateBackward<S>{states.data(), local.data(), grad_pre.data()}, problem, directions);
        return write(grad_pre);
    }
    must(operation == 3, "there are operations 0 to 3");
    const auto gradients = parts(GRADIENT_PARTS), grad_gradients = parts(GRADIENT_PARTS);
    auto local = room(STATE_PARTS), hidden_dot = room(1);
    run_all<TF32>(DoubleBackward<S>{states.data(), gradients.data(), grad_gradients.data(),
                                 local.data(), hidden_dot.data()},
            problem, directions);
    write(local);
    write(hidden_dot);
}

template <bool TF32, typename S>
static void emulate(const std::vector<int32_t>& head, const std::vector<int32_t>& lengths) {
    LstmProblem<S> problem{nullptr, nullptr, lengths.data(), head[3], head[4], head[5], head[6], head[7]};
    emulate<TF32, S>(head[0], head[2], problem);
}

int main() {
    const auto head = read<int32_t>(8);
    const auto lengths = read<int32_t>(head[3]);
    switch (head[1]) {
        case 2: return emulate<true, float>(head, lengths), 0;
        case 4: return emulate<false, float>(head, lengths), 0;
        case 8: return emulate<false, double>(head, lengths), 0;
    }
    must(false, "numbers have 2 (TF32), 4 or 8 bytes");
}
