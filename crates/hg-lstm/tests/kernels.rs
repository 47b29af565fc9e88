//! The kernels' variants agree with one another, and refuse what does not fit: on every path.

use hg_lstm::kernel::{
    self, Buffer, GRADIENT_PARTS, Input, Matrix, OutputGradient, PADDING, Panels, RecurrentWeights,
    STATE_PARTS, SimdPath, Start, StepSchedule,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

const HIDDEN: usize = 32;
const LENGTHS: [usize; 11] = [7, 1, 9, 4, 9, 2, 5, 40, 38, 41, 3];

/// Numbers in (−size/2, size/2), 0 in the padding.
fn filled(rows: usize, width: usize, size: f64, seed: usize) -> Buffer<f64> {
    let mut buffer = Buffer::new(rows, width);
    for row in 0..rows {
        for column in 0..width {
            let n = (row * width + column + 1) * 7919 + seed * 104_729;
            buffer.row_mut(row)[column] = ((n % 10_007) as f64 / 10_007. - 0.5) * size;
        }
    }
    buffer
}

/// Sequences of different lengths, packed time by time, with everything that the passes compute.
struct Scene {
    path: SimdPath,
    u: RecurrentWeights<f64>,
    schedule: StepSchedule,
    rows: usize,
    states: Buffer<f64>,
}

impl Scene {
    fn new(path: SimdPath) -> Self {
        let mut u = RecurrentWeights::new(HIDDEN, path);
        u.pack(filled(4 * HIDDEN, HIDDEN, 0.6, 1).view());
        // Time by time, as the engine packs: all sequences' step 0, then step 1, and so on.
        let row = |n: usize, step: usize| -> usize {
            let earlier: usize = LENGTHS.iter().map(|&length| length.min(step)).sum();
            earlier + LENGTHS[..n].iter().filter(|&&length| length > step).count()
        };
        let rows = LENGTHS.iter().sum();
        let schedule = StepSchedule::new(&LENGTHS, row);
        let mut states = filled(rows, STATE_PARTS * HIDDEN, 2., 2);
        kernel::forward(&u, &schedule, states.view_mut());
        Self { path, u, schedule, rows, states }
    }

    fn gradients(&self, arriving: OutputGradient<'_, f64>) -> Buffer<f64> {
        let mut out = Buffer::new(self.rows, GRADIENT_PARTS * HIDDEN);
        kernel::backward(&self.u, &self.schedule, self.states.view(), arriving, out.view_mut());
        out
    }
}

fn every(check: impl Fn(Scene)) {
    SimdPath::available().for_each(|path| check(Scene::new(path)));
}

/// Fails where the first `width` columns differ, and where there is nothing to compare.
fn same(ours: &Buffer<f64>, exact: &Buffer<f64>, width: usize) {
    assert_eq!(ours.rows(), exact.rows());
    let (mut off, mut greatest) = (0f64, 0f64);
    for row in 0..exact.rows() {
        for (ours, exact) in ours.row(row)[..width].iter().zip(&exact.row(row)[..width]) {
            off = off.max((ours - exact).abs());
            greatest = greatest.max(exact.abs());
        }
    }
    assert!(greatest > 1e-3, "all that is compared is 0");
    assert!(off < 1e-12, "{off:e}");
}

#[test]
fn a_gradient_of_last_states_is_one_of_all_states_that_is_0_elsewhere() {
    every(|scene| {
        let last = filled(LENGTHS.len(), HIDDEN, 2., 3);
        let mut all = Buffer::new(scene.rows, HIDDEN);
        for (sequence, row) in scene.schedule.ends() {
            all.row_mut(row).copy_from_slice(last.row(sequence));
        }
        let exact = scene.gradients(OutputGradient::Every(all.view()));
        let ours = scene.gradients(OutputGradient::Last(last.view()));
        same(&ours, &exact, GRADIENT_PARTS * HIDDEN);

        // Rows of four parts hold δp alone.
        let mut narrow = Buffer::new(scene.rows, 4 * HIDDEN);
        let (states, arriving) = (scene.states.view(), OutputGradient::Last(last.view()));
        kernel::backward(&scene.u, &scene.schedule, states, arriving, narrow.view_mut());
        same(&narrow, &exact, 4 * HIDDEN);
    });
}

#[test]
fn segments_come_last_steps_first_complete_and_each_row_once() {
    every(|scene| {
        let arriving = filled(scene.rows, HIDDEN, 2., 4);
        let arriving = || OutputGradient::Every(arriving.view());
        let exact = scene.gradients(arriving());
        let mut out = Buffer::new(scene.rows, GRADIENT_PARTS * HIDDEN);
        let (mut seen, mut pairs, mut counts) = (vec![0; scene.rows], 0, Vec::new());
        let (u, schedule, states) = (&scene.u, &scene.schedule, scene.states.view());
        kernel::backward_by_segments(
            u,
            schedule,
            states,
            arriving(),
            out.view_mut(),
            |part, out| {
                assert_eq!((out.rows, out.width), (scene.rows, GRADIENT_PARTS * HIDDEN));
                part.rows.iter().for_each(|&row| seen[row as usize] += 1);
                assert_eq!(part.later.len(), part.before.len());
                assert!(part.later.iter().all(|row| part.rows.contains(row)));
                pairs += part.later.len();
                counts.push(part.rows.len());
            },
        );
        assert!(seen.iter().all(|&times| times == 1), "{seen:?}");
        same(&out, &exact, GRADIENT_PARTS * HIDDEN);
        assert_eq!(pairs, scene.rows - LENGTHS.len());
        // 159 rows: one segment of 128 or more, and what is left at the first step.
        assert_eq!(counts.len(), 2, "{counts:?}");
        assert!(counts[0] >= 128, "{counts:?}");
    });
}

#[test]
fn inputs_that_are_computed_on_the_way_are_the_product_before_it() {
    every(|scene| {
        let depth = 21;
        let (x, w) = (filled(scene.rows, depth, 1., 5), filled(4 * HIDDEN, depth, 1., 6));
        let bias = filled(1, 4 * HIDDEN, 1., 7);
        let mut weights = Panels::new(scene.path);
        weights.pack_transposed(w.columns(0, depth));
        let x = x.columns(0, depth);
        let (u, schedule) = (&scene.u, &scene.schedule);

        let start = Start::Bias(bias.row(0));
        let mut exact = Buffer::new(scene.rows, STATE_PARTS * HIDDEN);
        kernel::multiply(x, &weights, start, exact.columns_mut(0, 4 * HIDDEN));
        kernel::forward(u, schedule, exact.view_mut());
        let mut ours = filled(scene.rows, STATE_PARTS * HIDDEN, 9., 8);
        kernel::forward_from(Input { x, weights: &weights, start }, u, schedule, ours.view_mut());
        same(&ours, &exact, STATE_PARTS * HIDDEN);

        let states = scene.states.view();
        let mut exact = Buffer::new(scene.rows, GRADIENT_PARTS * HIDDEN);
        kernel::multiply(x, &weights, Start::Zero, exact.columns_mut(0, 4 * HIDDEN));
        kernel::jvp(u, schedule, states, exact.view_mut());
        let mut ours = filled(scene.rows, GRADIENT_PARTS * HIDDEN, 9., 9);
        let input = Input { x, weights: &weights, start: Start::Zero };
        kernel::jvp_from(input, u, schedule, states, ours.view_mut());
        same(&ours, &exact, GRADIENT_PARTS * HIDDEN);
    });
}

#[test]
fn double_backward_is_backward_with_the_local_gradients() {
    every(|scene| {
        let (u, schedule, states) = (&scene.u, &scene.schedule, scene.states.view());
        let arriving = filled(scene.rows, HIDDEN, 2., 10);
        let gradients = scene.gradients(OutputGradient::Every(arriving.view()));
        let mut tangents = filled(scene.rows, GRADIENT_PARTS * HIDDEN, 2., 11);
        kernel::jvp(u, schedule, states, tangents.view_mut());
        let mut local = Buffer::new(scene.rows, STATE_PARTS * HIDDEN);
        let (gradients, tangents) = (gradients.view(), tangents.view());
        let to = local.view_mut();
        kernel::local_gradients(scene.path, HIDDEN, schedule, states, gradients, tangents, to);
        let mut exact = Buffer::new(scene.rows, 4 * HIDDEN);
        let (local, to) = (local.view(), exact.view_mut());
        kernel::backward_with_local_gradients(u, schedule, states, local, to);

        let mut ours = Buffer::new(scene.rows, 4 * HIDDEN);
        let (mut rows, to) = (0, ours.view_mut());
        let count = |part: kernel::Segment<'_>, _: Matrix<'_, f64>| rows += part.rows.len();
        kernel::double_backward(u, schedule, states, gradients, tangents, to, count);
        same(&ours, &exact, 4 * HIDDEN);
        assert_eq!(rows, scene.rows);
    });
}

/// The tangent of the states along q, by central differences of the forward pass.
#[test]
fn the_jvp_equals_central_differences() {
    every(|scene| {
        let pre = filled(scene.rows, 4 * HIDDEN, 2., 12);
        let q = filled(scene.rows, 4 * HIDDEN, 2., 13);
        let moved = |by: f64| {
            let mut states = Buffer::new(scene.rows, STATE_PARTS * HIDDEN);
            for row in 0..scene.rows {
                let moved = pre.row(row).iter().zip(q.row(row)).map(|(p, q)| p + by * q);
                states.row_mut(row).iter_mut().zip(moved).for_each(|(to, x)| *to = x);
            }
            kernel::forward(&scene.u, &scene.schedule, states.view_mut());
            states
        };
        let mut tangents = Buffer::new(scene.rows, GRADIENT_PARTS * HIDDEN);
        for row in 0..scene.rows {
            tangents.row_mut(row)[..4 * HIDDEN].copy_from_slice(q.row(row));
        }
        let (states, step) = (moved(0.), 1e-5);
        kernel::jvp(&scene.u, &scene.schedule, states.view(), tangents.view_mut());
        let (up, down) = (moved(step), moved(-step));
        let mut greatest = 0f64;
        for row in 0..scene.rows {
            for unit in 0..HIDDEN {
                // (part of the states, part of the tangents) of c and h
                for (state, tangent) in [(4, 4), (6, 5)] {
                    let n = state * HIDDEN + unit;
                    let central = (up.row(row)[n] - down.row(row)[n]) / (2. * step);
                    let ours = tangents.row(row)[tangent * HIDDEN + unit];
                    assert!((ours - central).abs() < 1e-8, "{ours} {central}");
                    greatest = greatest.max(central.abs());
                }
            }
        }
        assert!(greatest > 0.1);
    });
}

#[test]
fn products_of_rows_touch_these_rows_alone() {
    let rows = [6u32, 0, 3, 4];
    for path in SimdPath::available() {
        let (a, b) = (filled(7, 150, 1., 14), filled(150, 2 * PADDING, 1., 15));
        let mut panels = Panels::new(path);
        assert!(panels.is_empty());
        panels.pack(b.view());
        assert!(!panels.is_empty());
        let mut all = filled(7, 2 * PADDING, 1., 16);
        let before = all.clone();
        kernel::multiply(a.columns(0, 150), &panels, Start::Keep, all.view_mut());
        let mut some = before.clone();
        let a_columns = a.columns(0, 150);
        kernel::multiply_rows(&rows, a_columns, &panels, Start::Keep, some.view_mut());
        for row in 0..7 {
            let exact = if rows.contains(&(row as u32)) { &all } else { &before };
            let pairs = some.row(row).iter().zip(exact.row(row));
            assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-12), "{path:?}, row {row}");
        }
        assert!(all.row(0) != before.row(0));
    }
}

#[test]
fn sums_over_rows_take_these_rows_alone() {
    let rows = [6u32, 0, 3, 4];
    let pairs = [2u32, 5, 1, 0];
    for path in SimdPath::available() {
        // Σ over pairs of rows.
        let (left, right) = (filled(7, 5, 1., 17), filled(6, PADDING, 1., 18));
        let mut product = filled(5, PADDING, 1., 19);
        let before = product.clone();
        let mut scratch = Panels::new(path);
        kernel::add_transposed_product_of_rows(
            (&rows, left.columns(0, 5)),
            (&pairs, right.view()),
            product.view_mut(),
            &mut scratch,
        );
        for i in 0..5 {
            for j in 0..PADDING {
                let sum: f64 = rows
                    .iter()
                    .zip(&pairs)
                    .map(|(&a, &b)| left.row(a as usize)[i] * right.row(b as usize)[j])
                    .sum();
                assert!((product.row(i)[j] - before.row(i)[j] - sum).abs() < 1e-12);
            }
        }

        // Column sums.
        let mut sums = [filled(1, PADDING, 1., 20), filled(1, PADDING, 1., 20)];
        let before = sums[0].clone();
        kernel::add_column_sums(path, right.view(), sums[0].view_mut());
        kernel::add_column_sums_of_rows(path, &pairs, right.view(), sums[1].view_mut());
        for j in 0..PADDING {
            let sum = |rows: &mut dyn Iterator<Item = usize>| -> f64 {
                before.row(0)[j] + rows.map(|row| right.row(row)[j]).sum::<f64>()
            };
            assert!((sums[0].row(0)[j] - sum(&mut (0..6))).abs() < 1e-12);
            let some = sum(&mut pairs.iter().map(|&row| row as usize));
            assert!((sums[1].row(0)[j] - some).abs() < 1e-12);
        }
    }
}

#[test]
fn pointwise_operations_are_what_they_say() {
    for path in SimdPath::available() {
        let mut x = filled(3, PADDING, 4., 21);
        let before = x.clone();
        kernel::leaky_relu_in_place(path, 0.1, x.as_mut_slice());
        let mut gradient = filled(3, PADDING, 4., 22);
        let gradient_before = gradient.clone();
        kernel::leaky_relu_backward_in_place(path, 0.1, gradient.as_mut_slice(), x.as_slice());
        for (n, &was) in before.as_slice().iter().enumerate() {
            let slope = if was > 0. { 1. } else { 0.1 };
            assert!((x.as_slice()[n] - slope * was).abs() < 1e-15);
            let exact = slope * gradient_before.as_slice()[n];
            assert!((gradient.as_slice()[n] - exact).abs() < 1e-15);
        }
        let mut scaled = before.clone();
        scaled.row_mut(0)[0] = 1e-200;
        kernel::scale_in_place(path, -2.5, scaled.as_mut_slice());
        assert_eq!(scaled.row(0)[0], 0.);
        let pairs = scaled.as_slice().iter().zip(before.as_slice()).skip(1);
        assert!(pairs.into_iter().all(|(a, b)| (a + 2.5 * b).abs() < 1e-15));

        let mut xs = [0.5f64, 0., -3., 50., -800.];
        kernel::sigmoid_in_place(path, &mut xs);
        let exact = [0.5f64, 0., -3., 50., -800.].map(|x| 1. / (1. + (-x).exp()));
        assert!(xs.iter().zip(exact).all(|(a, b)| (a - b).abs() <= 1e-15), "{xs:?}");

        let mut ys = [0.5f64, 0., 3., 50., 800.];
        kernel::exp_of_negative_in_place(path, &mut ys);
        let exact = [0.5f64, 0., 3., 50., 800.].map(|y| (-y).exp());
        assert!(ys.iter().zip(exact).all(|(a, b)| (a - b).abs() <= 1e-15 * b), "{ys:?}");
    }
    let x: Vec<f64> = (1..=19).map(f64::from).collect();
    assert_eq!(kernel::sum_of_squares(&x), 2470.);
    assert_eq!(kernel::sum_of_squares::<f32>(&[]), 0.);
}

fn refused(job: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(job)).is_err()
}

/// Every pass reads and writes through pointers, so each must refuse what is too small.
#[test]
fn matrices_too_small_for_the_schedule_are_refused() {
    let scene = Scene::new(SimdPath::Portable);
    let (u, schedule, rows) = (&scene.u, &scene.schedule, scene.rows);
    let of = |rows: usize, parts: usize| Buffer::<f64>::new(rows, parts * HIDDEN);
    let states = || of(rows, STATE_PARTS);
    let gradients = || of(rows, GRADIENT_PARTS);

    for (rows, parts) in [(rows - 1, STATE_PARTS), (rows, STATE_PARTS - 1)] {
        let small = || of(rows, parts);
        let mut out = of(scene.rows, GRADIENT_PARTS);
        assert!(refused(|| kernel::forward(u, schedule, small().view_mut())));
        assert!(refused(|| kernel::jvp(u, schedule, small().view(), gradients().view_mut())));
        let nowhere = OutputGradient::Nowhere;
        let out = &mut out;
        assert!(refused(|| {
            kernel::backward(u, schedule, small().view(), nowhere, out.view_mut());
        }));
        assert!(refused(|| {
            let (states, local) = (states(), small());
            let (states, local) = (states.view(), local.view());
            kernel::backward_with_local_gradients(u, schedule, states, local, out.view_mut());
        }));
        for small_one in 0..2 {
            assert!(refused(|| {
                let (states, mut local) = (states(), states());
                let (mut first, mut local_rows) = (states.clone(), &mut local);
                let mut small = small();
                match small_one {
                    0 => std::mem::swap(&mut first, &mut small),
                    _ => local_rows = &mut small,
                }
                let (gradients, tangents) = (gradients(), gradients());
                let (gradients, tangents) = (gradients.view(), tangents.view());
                let (path, to) = (scene.path, local_rows.view_mut());
                let states = first.view();
                kernel::local_gradients(path, HIDDEN, schedule, states, gradients, tangents, to);
            }));
        }
    }
}

#[test]
fn gradients_and_tangents_too_small_for_the_schedule_are_refused() {
    let scene = Scene::new(SimdPath::Portable);
    let (u, schedule, rows) = (&scene.u, &scene.schedule, scene.rows);
    let of = |rows: usize, parts: usize| Buffer::<f64>::new(rows, parts * HIDDEN);
    let states = || of(rows, STATE_PARTS);
    let gradients = || of(rows, GRADIENT_PARTS);
    for (rows, parts) in [(rows - 1, GRADIENT_PARTS), (rows, GRADIENT_PARTS - 1)] {
        let small = || of(rows, parts);
        assert!(refused(|| kernel::jvp(u, schedule, states().view(), small().view_mut())));
        for small_one in 0..2 {
            let pair =
                || if small_one == 0 { [small(), gradients()] } else { [gradients(), small()] };
            assert!(refused(|| {
                let ([first, second], mut out) = (pair(), of(scene.rows, 4));
                let (states, to) = (states(), out.view_mut());
                let (first, second) = (first.view(), second.view());
                kernel::double_backward(u, schedule, states.view(), first, second, to, |_, _| {});
            }));
            assert!(refused(|| {
                let ([first, second], mut out) = (pair(), states());
                let (states, to) = (states(), out.view_mut());
                let (states, first, second) = (states.view(), first.view(), second.view());
                kernel::local_gradients(scene.path, HIDDEN, schedule, states, first, second, to);
            }));
        }
    }
    // What arrives, and the result of a backward pass.
    for (every, last, out) in [
        (Some(of(rows - 1, 1)), None, of(rows, 4)),
        (None, Some(of(LENGTHS.len() - 1, 1)), of(rows, 4)),
        (None, Some(Buffer::new(LENGTHS.len(), HIDDEN - PADDING)), of(rows, 4)),
        (None, None, of(rows - 1, 4)),
        (None, None, of(rows, 3)),
    ] {
        let mut out = out;
        let arriving = match (&every, &last) {
            (Some(every), _) => OutputGradient::Every(every.view()),
            (_, Some(last)) => OutputGradient::Last(last.view()),
            _ => OutputGradient::Nowhere,
        };
        let states = states();
        assert!(refused(|| {
            kernel::backward(u, schedule, states.view(), arriving, out.view_mut());
        }));
    }
}

#[test]
fn factors_that_do_not_fit_are_refused() {
    let path = SimdPath::Portable;
    let mut b = Panels::new(path);
    b.pack(filled(20, 2 * PADDING, 1., 1).view());
    let product = |rows: usize, depth: usize, out_rows: usize, columns: usize| {
        let (a, mut c) = (filled(rows, depth, 1., 2), Buffer::new(out_rows, columns));
        refused(|| kernel::multiply(a.columns(0, depth), &b, Start::Zero, c.view_mut()))
    };
    assert!(!product(3, 20, 3, 2 * PADDING));
    assert!(product(3, 20, 4, 2 * PADDING));
    assert!(product(3, 19, 3, 2 * PADDING));
    assert!(product(3, 20, 3, PADDING));

    let (a, mut c) = (filled(3, 20, 1., 2), Buffer::<f64>::new(3, 2 * PADDING));
    let short = Start::Bias(&[0.; PADDING]);
    assert!(refused(|| kernel::multiply(a.columns(0, 20), &b, short, c.view_mut())));
    let rows = [0, 3];
    assert!(refused(|| {
        kernel::multiply_rows(&rows, a.columns(0, 20), &b, Start::Zero, c.view_mut());
    }));
    let odd = filled(4, 2 * PADDING, 1., 3);
    assert!(refused(|| Panels::new(path).pack(odd.columns(0, 20))));
    assert!(refused(|| Panels::new(path).pack_transposed(filled(20, 4, 1., 3).view())));
}

#[test]
fn a_weights_gradient_of_another_shape_is_refused() {
    let path = SimdPath::Portable;
    let gradient = |rows: [usize; 2], out: [usize; 2]| {
        let (a, b) = (filled(rows[0], 5, 1., 4), filled(rows[1], PADDING, 1., 5));
        let (mut c, mut scratch) = (Buffer::new(out[0], out[1]), Panels::new(path));
        refused(|| {
            kernel::add_transposed_product(a.columns(0, 5), b.view(), c.view_mut(), &mut scratch);
        })
    };
    assert!(!gradient([7, 7], [5, PADDING]));
    assert!(gradient([7, 8], [5, PADDING]));
    assert!(gradient([7, 7], [6, PADDING]));
    assert!(gradient([7, 7], [5, 2 * PADDING]));
    let of_rows = |a_rows: &[u32], b_rows: &[u32]| {
        let (a, b) = (filled(4, 5, 1., 4), filled(4, PADDING, 1., 5));
        let (mut c, mut scratch) = (Buffer::new(5, PADDING), Panels::new(path));
        refused(|| {
            let (a, b) = ((a_rows, a.columns(0, 5)), (b_rows, b.view()));
            kernel::add_transposed_product_of_rows(a, b, c.view_mut(), &mut scratch);
        })
    };
    assert!(!of_rows(&[0, 3], &[3, 3]));
    assert!(of_rows(&[0, 4], &[3, 3]));
    assert!(of_rows(&[0, 3], &[3, 4]));
    assert!(of_rows(&[0, 3], &[3]));
}

#[test]
fn recurrent_weights_and_inputs_that_do_not_fit_are_refused() {
    let path = SimdPath::Portable;
    assert!(refused(|| drop(RecurrentWeights::<f64>::new(PADDING + 1, path))));
    let mut u = RecurrentWeights::new(HIDDEN, path);
    assert!(u.is_empty());
    assert!(refused(|| u.clone().pack(filled(4 * HIDDEN, PADDING, 1., 1).view())));
    assert!(refused(|| u.clone().pack(filled(3 * HIDDEN, HIDDEN, 1., 1).view())));
    u.pack(filled(4 * HIDDEN, HIDDEN, 1., 1).view());
    assert!(!u.is_empty());
    let schedule = StepSchedule::new(&[2, 1], |n, step| 2 * step + n);
    let feed = |rows: usize, depth: usize, columns: usize, bias: usize| {
        let mut weights = Panels::new(path);
        weights.pack(filled(8, columns, 1., 2).view());
        let (x, bias) = (filled(rows, depth, 1., 3), vec![0.; bias]);
        let (start, mut states) = (Start::Bias(&bias), Buffer::new(3, STATE_PARTS * HIDDEN));
        let input = Input { x: x.columns(0, depth), weights: &weights, start };
        refused(|| kernel::forward_from(input, &u, &schedule, states.view_mut()))
    };
    assert!(!feed(3, 8, 4 * HIDDEN, 4 * HIDDEN));
    assert!(feed(2, 8, 4 * HIDDEN, 4 * HIDDEN));
    assert!(feed(3, 7, 4 * HIDDEN, 4 * HIDDEN));
    assert!(feed(3, 8, 3 * HIDDEN, 4 * HIDDEN));
    assert!(feed(3, 8, 4 * HIDDEN, 4 * HIDDEN - 1));
}

#[test]
fn pointwise_operations_refuse_what_they_would_leave_undone() {
    let path = SimdPath::Portable;
    let mut odd = [0f64; PADDING + 1];
    assert!(refused(|| kernel::leaky_relu_in_place(path, 0.1, &mut odd)));
    assert!(refused(|| kernel::scale_in_place(path, 0.1, &mut odd)));
    let other = odd;
    assert!(refused(|| kernel::leaky_relu_backward_in_place(path, 0.1, &mut odd, &other)));
    let (mut some, more) = ([0f64; PADDING], [0f64; 2 * PADDING]);
    assert!(refused(|| kernel::leaky_relu_backward_in_place(path, 0.1, &mut some, &more)));
    let x = filled(2, 2 * PADDING, 1., 6);
    for mut sums in [Buffer::new(1, PADDING), Buffer::new(2, 2 * PADDING)] {
        assert!(refused(|| kernel::add_column_sums(path, x.view(), sums.view_mut())));
    }
    let mut sums = Buffer::new(1, 2 * PADDING);
    assert!(refused(|| {
        kernel::add_column_sums(path, x.columns(0, 20), sums.columns_mut(0, 20));
    }));
    assert!(refused(|| {
        kernel::add_column_sums_of_rows(path, &[2], x.view(), sums.view_mut());
    }));
}
