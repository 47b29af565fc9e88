//! The CUDA kernels' arithmetic on the host: `kernels/emulate.cpp` compiles the kernels' own code
//! and runs its threads one after the other; every pass must equal the CPU's. Without a C++
//! compiler the tests count as ignored.

use hg_lstm::kernel::{
    self, Buffer, GRADIENT_PARTS, OutputGradient, Real, RecurrentWeights, STATE_PARTS, SimdPath,
    StepSchedule,
};
use libtest_mimic::{Arguments, Failed, Trial};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

/// (K, lengths, H, R, C)
type Shape = (usize, &'static [usize], usize, usize, usize);

/// Whole and ragged slices, units that do not divide by the blocks, one block and the most.
const SHAPES: [Shape; 5] = [
    (2, &[5, 5, 5, 5], 8, 4, 1),
    (2, &[1, 7, 3, 7, 2, 6, 4, 5, 7], 20, 4, 2),
    (1, &[6, 1, 4, 6, 2], 33, 8, 4),
    (2, &[9; 17], 16, 16, 8),
    (1, &[3], 1, 4, 1),
];

/// Sizes that tiles of 16 × 16 × 8 fit, forwards and backwards.
const TILED: [Shape; 3] = [
    (1, &[3, 2], 16, 16, 1),
    (2, &[1, 7, 3, 7, 2, 6, 4, 5, 7, 9, 9, 8, 1, 2, 3, 4, 5], 32, 16, 2),
    (1, &[6; 16], 64, 16, 4),
];

fn main() -> ExitCode {
    let folder = tempfile::tempdir().expect("a folder");
    let program = compile(folder.path());
    if program.is_none() {
        eprintln!("skipped: no C++ compiler as `c++` (or $CXX)");
    }
    let (skipped, program) = (program.is_none(), Arc::new(program.unwrap_or_default()));
    let test = |number: &'static str, shape: Shape| {
        let program = Arc::clone(&program);
        let (k, lengths, hidden, rows, blocks) = shape;
        let name = format!(
            "every_pass_equals_the_cpu_in_{number}: {k} × {} rows, {hidden} units, by {rows} in {blocks}",
            lengths.len()
        );
        let run = move || {
            let case = Case::new(shape);
            match number {
                "f64" => case.agree::<f64>(&program, 8, 1e-10),
                "f32" => case.agree::<f32>(&program, 4, 1e-5),
                _ => case.agree::<f32>(&program, 2, 4e-3),
            }
        };
        Trial::test(name, run).with_ignored_flag(skipped)
    };
    let exact = SHAPES.iter().flat_map(|&shape| [test("f64", shape), test("f32", shape)]);
    let tests = exact.chain(TILED.iter().map(|&shape| test("tf32", shape)));
    libtest_mimic::run(&Arguments::from_args(), tests.collect()).exit_code()
}

/// `None` where there is no compiler; one that refuses the kernels is a failure.
fn compile(folder: &Path) -> Option<PathBuf> {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let (source, program) =
        (concat!(env!("CARGO_MANIFEST_DIR"), "/kernels/emulate.cpp"), folder.join("emulate"));
    let mut compile = Command::new(compiler);
    compile.args(["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", source, "-o"]).arg(&program);
    let compiled = compile.output().ok()?;
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    Some(program)
}

/// A number as the emulation reads it.
trait Bytes: Real {
    fn put(self, into: &mut Vec<u8>);
    fn get(bytes: &[u8]) -> Self;
}

macro_rules! bytes {
    ($float:ty) => {
        impl Bytes for $float {
            fn put(self, into: &mut Vec<u8>) {
                into.extend(self.to_le_bytes());
            }

            fn get(bytes: &[u8]) -> Self {
                Self::from_le_bytes(bytes.try_into().expect("a number's bytes"))
            }
        }
    };
}
bytes!(f32);
bytes!(f64);

/// Numbers in (−1, 1).
struct Noise(u32);

impl Noise {
    fn next<S: Real>(&mut self) -> S {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        S::from_f64(f64::from(self.0) / f64::from(u32::MAX) * 2. - 1.)
    }
}

struct Case {
    directions: usize,
    lengths: &'static [usize],
    steps: usize,
    hidden: usize,
    /// R and C.
    slices: [usize; 2],
}

impl Case {
    fn new((directions, lengths, hidden, rows, blocks): Shape) -> Self {
        let steps = lengths.iter().copied().max().unwrap_or(1);
        Self { directions, lengths, steps, hidden, slices: [rows, blocks] }
    }

    /// `[K, batch, steps, parts·H]`, 0 beyond each length.
    fn draw<S: Real>(&self, seed: u32, parts: usize) -> Vec<S> {
        let (mut noise, width) = (Noise(seed), parts * self.hidden);
        let sequences = (0..self.directions).flat_map(|_| self.lengths);
        let values = sequences.flat_map(|&length| {
            let mut values: Vec<S> = (0..length * width).map(|_| noise.next()).collect();
            values.resize(self.steps * width, S::default());
            values
        });
        values.collect()
    }

    /// What the emulation of a pass writes.
    fn emulate<S: Bytes>(
        &self,
        (program, number): (&Path, usize),
        pass: usize,
        inputs: &[&[S]],
    ) -> Result<Vec<S>, Failed> {
        let size = std::mem::size_of::<S>();
        let [rows, blocks] = self.slices;
        let (batch, steps) = (self.lengths.len(), self.steps);
        let head = [pass, number, self.directions, batch, steps, self.hidden, rows, blocks];
        let mut bytes = Vec::new();
        for &number in head.iter().chain(self.lengths) {
            bytes.extend(i32::try_from(number)?.to_le_bytes());
        }
        inputs.iter().for_each(|input| input.iter().for_each(|x| x.put(&mut bytes)));
        let mut child =
            Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        child.stdin.take().ok_or("no stdin")?.write_all(&bytes)?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            return Err("the emulation failed".into());
        }
        Ok(output.stdout.chunks_exact(size).map(S::get).collect())
    }

    /// Some rows of parts, in rows of `room` parts of the padded width.
    fn padded<S: Real>(&self, rows: &[S], parts: usize, room: usize) -> Buffer<S> {
        let wide = kernel::padded(self.hidden);
        let mut buffer = Buffer::new(rows.len() / (parts * self.hidden), room * wide);
        for (n, row) in rows.chunks_exact(parts * self.hidden).enumerate() {
            let to = buffer.row_mut(n).chunks_exact_mut(wide);
            for (part, to) in row.chunks_exact(self.hidden).zip(to) {
                to[..self.hidden].copy_from_slice(part);
            }
        }
        buffer
    }

    /// One direction of `[K, batch, steps, parts·H]` as a matrix.
    fn rows<S: Real>(&self, values: &[S], n: usize, parts: usize, room: usize) -> Buffer<S> {
        let count = self.lengths.len() * self.steps * parts * self.hidden;
        self.padded(&values[n * count..][..count], parts, room)
    }

    /// What the CPU's kernels make of every direction, whose number `compute` gets: rows of
    /// `parts` parts, 0 beyond each length.
    fn on_cpu<S: Real>(
        &self,
        u: &[S],
        parts: usize,
        compute: impl Fn(&RecurrentWeights<S>, &StepSchedule, usize) -> Buffer<S>,
    ) -> Vec<S> {
        let (hidden, wide) = (self.hidden, kernel::padded(self.hidden));
        let schedule = StepSchedule::new(self.lengths, |row, step| row * self.steps + step);
        let mut all = Vec::new();
        for (direction, u) in u.chunks_exact(4 * hidden * hidden).enumerate() {
            let mut gates = Buffer::new(4 * wide, wide);
            for (n, row) in u.chunks_exact(hidden).enumerate() {
                gates.row_mut(n / hidden * wide + n % hidden)[..hidden].copy_from_slice(row);
            }
            let mut weights = RecurrentWeights::new(wide, SimdPath::widest());
            weights.pack(gates.view());
            let computed = compute(&weights, &schedule, direction);
            for (n, &length) in self.lengths.iter().enumerate() {
                for row in n * self.steps..n * self.steps + length {
                    for part in computed.row(row).chunks_exact(wide).take(parts) {
                        all.extend_from_slice(&part[..hidden]);
                    }
                }
                let beyond = (self.steps - length) * parts * hidden;
                all.resize(all.len() + beyond, S::default());
            }
        }
        all
    }

    /// One direction of rows of states, and one of rows of gradients.
    fn states<S: Real>(&self, values: &[S], n: usize) -> Buffer<S> {
        self.rows(values, n, STATE_PARTS, STATE_PARTS)
    }

    fn gradients<S: Real>(&self, values: &[S], n: usize) -> Buffer<S> {
        self.rows(values, n, GRADIENT_PARTS, GRADIENT_PARTS)
    }

    /// Every pass; `number` is what the emulation calls the type.
    fn agree<S: Bytes>(&self, program: &Path, number: usize, tolerance: f64) -> Result<(), Failed> {
        let mut noise = Noise(99);
        let scale = S::from_f64(0.5 / (self.hidden as f64).sqrt());
        let count = self.directions * 4 * self.hidden * self.hidden;
        let u: Vec<S> = (0..count).map(|_| noise.next::<S>() * scale).collect();
        let check = Check { program, number, tolerance };
        let [states, gradients] = self.first_order_agrees(&check, &u)?;
        self.second_order_agrees(&check, &u, &states, &gradients)
    }

    /// The forward pass, and the backward passes of the hidden states and of all states. Returns
    /// the states and the gradients.
    fn first_order_agrees<S: Bytes>(
        &self,
        check: &Check<'_>,
        u: &[S],
    ) -> Result<[Vec<S>; 2], Failed> {
        let program = (check.program, check.number);
        let (rows, wide) = (self.lengths.len() * self.steps, kernel::padded(self.hidden));
        let (pre, h_bar, local) = (self.draw(1, 4), self.draw(2, 1), self.draw(3, STATE_PARTS));

        let states = self.on_cpu(u, STATE_PARTS, |weights, schedule, n| {
            let mut states = self.rows(&pre, n, 4, STATE_PARTS);
            kernel::forward(weights, schedule, states.view_mut());
            states
        });
        check.same("forward", &self.emulate(program, 0, &[u, &pre])?, &states)?;

        let gradients = self.on_cpu(u, GRADIENT_PARTS, |weights, schedule, n| {
            let mut out = Buffer::new(rows, GRADIENT_PARTS * wide);
            let (states, arriving) = (self.states(&states, n), self.rows(&h_bar, n, 1, 1));
            let arriving = OutputGradient::Every(arriving.view());
            kernel::backward(weights, schedule, states.view(), arriving, out.view_mut());
            out
        });
        let emulated = self.emulate(program, 1, &[u, &states, &h_bar])?;
        check.same("backward", &emulated, &gradients)?;

        let grad_pre = self.on_cpu(u, 4, |weights, schedule, n| {
            let mut out = Buffer::new(rows, 4 * wide);
            let (states, local) = (self.states(&states, n), self.states(&local, n));
            let (states, local) = (states.view(), local.view());
            kernel::backward_with_local_gradients(weights, schedule, states, local, out.view_mut());
            out
        });
        let emulated = self.emulate(program, 2, &[u, &states, &local])?;
        check.same("state backward", &emulated, &grad_pre)?;
        Ok([states, gradients])
    }

    /// The double backward pass.
    fn second_order_agrees<S: Bytes>(
        &self,
        check: &Check<'_>,
        u: &[S],
        states: &[S],
        gradients: &[S],
    ) -> Result<(), Failed> {
        let (rows, wide) = (self.lengths.len() * self.steps, kernel::padded(self.hidden));
        let q = self.draw(4, GRADIENT_PARTS);

        let tangents = self.on_cpu(u, GRADIENT_PARTS, |weights, schedule, n| {
            let (states, mut tangents) = (self.states(states, n), self.gradients(&q, n));
            kernel::jvp(weights, schedule, states.view(), tangents.view_mut());
            tangents
        });
        let local_gradients = self.on_cpu(u, STATE_PARTS, |_, schedule, n| {
            let (gradients, tangents) =
                (self.gradients(gradients, n), self.gradients(&tangents, n));
            let (gradients, tangents) = (gradients.view(), tangents.view());
            let (states, path) = (self.states(states, n), SimdPath::widest());
            let mut out = Buffer::new(rows, STATE_PARTS * wide);
            let (states, to) = (states.view(), out.view_mut());
            kernel::local_gradients(path, wide, schedule, states, gradients, tangents, to);
            out
        });
        let hidden_dot: Vec<S> = tangents
            .chunks_exact(GRADIENT_PARTS * self.hidden)
            .flat_map(|row| row[(GRADIENT_PARTS - 1) * self.hidden..].to_vec())
            .collect();

        let program = (check.program, check.number);
        let emulated = self.emulate(program, 3, &[u, states, gradients, &q])?;
        let (ours, ours_dot) = emulated.split_at(local_gradients.len().min(emulated.len()));
        check.same("double backward, states", ours, &local_gradients)?;
        check.same("double backward, h̄", ours_dot, &hidden_dot)
    }
}

/// The emulation, and how near to the CPU its results must be.
struct Check<'a> {
    program: &'a Path,
    /// What the emulation calls the type.
    number: usize,
    tolerance: f64,
}

impl Check<'_> {
    fn same<S: Real>(&self, what: &str, ours: &[S], exact: &[S]) -> Result<(), Failed> {
        if ours.len() != exact.len() {
            return Err(format!("{what}: {} values, not {}", ours.len(), exact.len()).into());
        }
        let scale = exact.iter().map(|x| x.to_f64().abs()).fold(0., f64::max);
        if scale < 1e-3 {
            return Err(format!("{what}: there is nothing to compare").into());
        }
        let pairs = ours.iter().zip(exact);
        let off = pairs.map(|(a, b)| (a.to_f64() - b.to_f64()).abs()).fold(0., f64::max) / scale;
        // TF32 that is as near as f32 would be none.
        let is_rounded = self.number != 2 || off > 1e-5;
        match off < self.tolerance && is_rounded {
            true => Ok(()),
            false => Err(format!("{what} is off by {off:e}").into()),
        }
    }
}
