//! Benches of the kernels on one thread, H = 128 in f32, on every path that the
//! processor has.
//!
//! `cargo xtask bench`

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use hg_lstm::kernel::{
    self, Buffer, OutputGradient, Panels, RecurrentWeights, SimdPath, Start, StepSchedule,
    add_transposed_product, multiply,
};

const HIDDEN: usize = 128;

/// Vectors, and how many sequences of how many steps.
#[derive(Clone, Copy)]
struct Case {
    path: SimdPath,
    sequences: usize,
    steps: usize,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, sequences, steps } = self;
        write!(f, "{path:?} {sequences} × {steps}")
    }
}

/// Every path on every shape; the portable one on the first alone.
fn cases() -> Vec<Case> {
    let shapes = [(8, 20), (16, 20), (16, 60)];
    let all = SimdPath::available().flat_map(|path| {
        let count = if path == SimdPath::Portable { 1 } else { shapes.len() };
        shapes.into_iter().take(count).map(move |(sequences, steps)| Case {
            path,
            sequences,
            steps,
        })
    });
    all.collect()
}

fn main() {
    divan::main();
}

/// One direction with everything that the four passes need, computed once.
struct Scene {
    weights: Buffer<f32>,
    u: RecurrentWeights<f32>,
    schedule: StepSchedule,
    x: Buffer<f32>,
    states: Buffer<f32>,
    gradients: Buffer<f32>,
    tangents: Buffer<f32>,
    second: Buffer<f32>,
    last: Buffer<f32>,
}

fn filled(rows: usize, width: usize) -> Buffer<f32> {
    let mut buffer = Buffer::new(rows, width);
    for (n, x) in buffer.as_mut_slice().iter_mut().enumerate() {
        *x = ((n * 7919 % 1009) as f32 / 1009. - 0.5) * 0.2;
    }
    buffer
}

impl Scene {
    fn new(Case { path, sequences, steps }: Case) -> Self {
        let rows = sequences * steps;
        let weights = filled(4 * HIDDEN, HIDDEN);
        let mut u = RecurrentWeights::new(HIDDEN, path);
        u.pack(weights.view());
        let lengths = vec![steps; sequences];
        let mut scene = Self {
            u,
            weights,
            schedule: StepSchedule::new(&lengths, |n, step| step * sequences + n),
            x: filled(rows, HIDDEN),
            states: filled(rows, 7 * HIDDEN),
            gradients: filled(rows, 6 * HIDDEN),
            tangents: filled(rows, 6 * HIDDEN),
            second: filled(rows, 4 * HIDDEN),
            last: filled(sequences, HIDDEN),
        };
        kernel::forward(&scene.u, &scene.schedule, scene.states.view_mut());
        scene
    }

    /// Floating-point operations of one product over all rows.
    fn flops(&self) -> ItemsCount {
        ItemsCount::new(2 * self.x.rows() * 4 * HIDDEN * HIDDEN)
    }
}

fn bench(bencher: Bencher<'_, '_>, case: Case, pass: impl Fn(&mut Scene) + Sync) {
    let mut scene = Scene::new(case);
    let flops = scene.flops();
    bencher.counter(flops).bench_local(|| pass(black_box(&mut scene)));
}

#[divan::bench(args = cases())]
fn input_product(bencher: Bencher<'_, '_>, case: Case) {
    let mut panels = Panels::new(case.path);
    panels.pack_transposed(filled(4 * HIDDEN, HIDDEN).view());
    bench(bencher, case, |s| {
        multiply(s.x.view(), &panels, Start::Zero, s.states.columns_mut(0, 4 * HIDDEN));
    });
}

#[divan::bench(args = cases())]
fn weight_gradient(bencher: Bencher<'_, '_>, case: Case) {
    bench(bencher, case, |s| {
        let mut scratch = Panels::new(case.path);
        let into = s.weights.view_mut();
        add_transposed_product(s.second.view(), s.x.view(), into, &mut scratch);
    });
}

#[divan::bench(args = cases())]
fn forward(bencher: Bencher<'_, '_>, case: Case) {
    bench(bencher, case, |s| kernel::forward(&s.u, &s.schedule, s.states.view_mut()));
}

#[divan::bench(args = cases())]
fn backward(bencher: Bencher<'_, '_>, case: Case) {
    bench(bencher, case, |s| {
        let arriving = OutputGradient::Last(s.last.view());
        kernel::backward(&s.u, &s.schedule, s.states.view(), arriving, s.gradients.view_mut());
    });
}

#[divan::bench(args = cases())]
fn jvp(bencher: Bencher<'_, '_>, case: Case) {
    bench(bencher, case, |s| {
        kernel::jvp(&s.u, &s.schedule, s.states.view(), s.tangents.view_mut());
    });
}

#[divan::bench(args = cases())]
fn double_backward(bencher: Bencher<'_, '_>, case: Case) {
    bench(bencher, case, |s| {
        let (states, gradients) = (s.states.view(), s.gradients.view());
        let tangents = s.tangents.view();
        let into = s.second.view_mut();
        kernel::double_backward(&s.u, &s.schedule, states, gradients, tangents, into, |_, _| {});
    });
}
