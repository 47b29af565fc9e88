//! Temporal metrics of Perkonoja, Movahedi, Airola, Auranen & Virta (2026), arXiv:2602.10643, as their
//! program computes them (github.com/Katsk1/Temporal-preservation-metrics, commit 530a68a).
//!
//! Times lie on a grid of width 1, which is also the bandwidth h of the kernel.
//!
//! ```text
//! k(s)      = exp(−s² / 2h²)
//! μ(t)      = Σ k(t − tᵢⱼ) xᵢⱼ / Σ k(t − tᵢⱼ)               over all values xᵢⱼ of all patients i
//! σ²(t)     = Σ k(t − tᵢⱼ) (xᵢⱼ − μ(t))² / Σ k(t − tᵢⱼ)
//! γ(u)      = ½ Σ k(u − |tᵢⱼ − tᵢₗ|) (rᵢⱼ − rᵢₗ)² / Σ k(u − |tᵢⱼ − tᵢₗ|)    rᵢⱼ = xᵢⱼ − μ(tᵢⱼ)
//!             over all pairs j < l of values of one patient
//! q_p(t)      value at which the cumulative weights k(t − tᵢⱼ) / Σ k reach p, in a line between values;
//!             of |t − tᵢⱼ| ≤ 6h, since a weight that rounding loses would leave a step, not a line
//! rank        of xᵢⱼ = 1 + #{p : q_p(tᵢⱼ) ≤ xᵢⱼ},  p = 0.1, 0.25, 0.5, 0.75, 0.9
//! variability of patient i = mean over j of (rankᵢⱼ − rankᵢ,ⱼ₋₁) / 5,  in [−1, 1]
//! P(l; t)   = Σ over cells of level l of k(t − tᵢⱼ) / Σ k(t − tᵢⱼ)
//! P(l → m; t) ∝ Σ k(max(|t − tᵢ,ⱼ₋₁|, |t − tᵢⱼ|))   over successive cells l, m; sums over m to 1
//! ```

use std::collections::BTreeMap;

/// p
const QUANTILES: [f64; 5] = [0.1, 0.25, 0.5, 0.75, 0.9];
/// Values up to so many bandwidths away count in quantiles: k is 2·10⁻⁸ there.
const REACH: usize = 6;

/// A column of a cohort: of each patient the grid point of each value and the value, in the order of
/// time.
pub(super) struct Series {
    /// Points of the grid.
    pub(super) points: usize,
    pub(super) patients: Vec<Vec<(usize, f64)>>,
}

/// μ and σ² at a point of the grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moments {
    pub(super) mean: f64,
    pub(super) variance: f64,
}

/// γ by lag, and by lag how many pairs of values there are.
pub(super) struct Variogram {
    pub(super) values: Vec<Option<f64>>,
    pub(super) pairs: Vec<f64>,
}

/// Count, sum and sum of squares.
#[derive(Clone, Copy, Default)]
struct Sums {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Sums {
    fn add(&mut self, x: f64) {
        self.count += 1.;
        self.sum += x;
        self.squares += x * x;
    }
}

/// k by distance on the grid.
fn kernel(points: usize) -> Vec<f64> {
    (0..points).map(|s| (-0.5 * (s * s) as f64).exp()).collect()
}

impl Series {
    pub(super) fn values(&self) -> impl Iterator<Item = (usize, f64)> {
        self.patients.iter().flatten().copied()
    }

    /// How many values there are at each point.
    pub(super) fn density(&self) -> Vec<f64> {
        let mut density = vec![0.; self.points];
        self.values().for_each(|(t, _)| density[t] += 1.);
        density
    }

    /// μ and σ²; `None` where no value is near.
    pub(super) fn moments(&self) -> Vec<Option<Moments>> {
        let kernel = kernel(self.points);
        // Squares are of distances from the centre, so that they do not cancel.
        let (sum, count) = self.values().fold((0., 0.), |(sum, n), (_, x)| (sum + x, n + 1.));
        let centre = sum / count;
        let mut cells = vec![Sums::default(); self.points];
        self.values().for_each(|(t, x)| cells[t].add(x - centre));

        let at = |t: usize| {
            let mut sums = Sums::default();
            for (s, cell) in cells.iter().enumerate() {
                let weight = kernel[t.abs_diff(s)];
                sums.count += weight * cell.count;
                sums.sum += weight * cell.sum;
                sums.squares += weight * cell.squares;
            }
            let mean = sums.sum / sums.count;
            let variance = (sums.squares / sums.count - mean * mean).max(0.);
            let is_there = mean.is_finite() && variance.is_finite();
            is_there.then_some(Moments { mean: mean + centre, variance })
        };
        (0..self.points).map(at).collect()
    }

    /// γ by the residuals from μ.
    pub(super) fn variogram(&self, moments: &[Option<Moments>]) -> Variogram {
        let (mut pairs, mut squares) = (vec![0.; self.points], vec![0.; self.points]);
        let mut cells: Vec<(usize, Sums)> = Vec::new();
        for patient in &self.patients {
            cells.clear();
            for &(t, x) in patient {
                let Some(Moments { mean, .. }) = moments[t] else { continue };
                match cells.last_mut() {
                    Some((last, sums)) if *last == t => sums.add(x - mean),
                    _ => {
                        let mut sums = Sums::default();
                        sums.add(x - mean);
                        cells.push((t, sums));
                    }
                }
            }
            for (n, (t, b)) in cells.iter().enumerate() {
                // Pairs within the cell: Σ_{j<l} (rⱼ − rₗ)² = n Σ r² − (Σ r)².
                pairs[0] += b.count * (b.count - 1.) / 2.;
                squares[0] += (b.count * b.squares - b.sum * b.sum).max(0.);
                for (s, a) in &cells[..n] {
                    let between = b.count * a.squares + a.count * b.squares - 2. * a.sum * b.sum;
                    pairs[t - s] += a.count * b.count;
                    squares[t - s] += between.max(0.);
                }
            }
        }

        let kernel = kernel(self.points);
        let at = |u: usize| {
            let weighted = |sums: &[f64]| -> f64 {
                sums.iter().enumerate().map(|(lag, sum)| kernel[u.abs_diff(lag)] * sum).sum()
            };
            Some(0.5 * weighted(&squares) / weighted(&pairs)).filter(|gamma| gamma.is_finite())
        };
        Variogram { values: (0..self.points).map(at).collect(), pairs }
    }

    /// The quantiles at each point: those that the weights reach, ascending.
    pub(super) fn quantiles(&self) -> Vec<Vec<f64>> {
        let kernel = kernel(self.points);
        let mut sorted: Vec<(f64, usize)> = self.values().map(|(t, x)| (x, t)).collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let density = self.density();
        let at = |t: usize| {
            let near = t.saturating_sub(REACH)..(t + REACH + 1).min(self.points);
            let total: f64 = near.map(|s| kernel[t.abs_diff(s)] * density[s]).sum();
            let mut found = Vec::with_capacity(QUANTILES.len());
            let mut wanted = QUANTILES.iter().copied().peekable();
            let mut before: Option<(f64, f64)> = None;
            let mut weight = 0.;
            for &(x, s) in &sorted {
                if t.abs_diff(s) > REACH {
                    continue;
                }
                weight += kernel[t.abs_diff(s)];
                let share = weight / total;
                while let Some(p) = wanted.next_if(|p| *p <= share) {
                    // Below the first value's weight there is no quantile.
                    match before {
                        Some((y, low)) => found.push(y + (x - y) * (p - low) / (share - low)),
                        None if p == share => found.push(x),
                        None => {}
                    }
                }
                before = Some((x, share));
            }
            found
        };
        (0..self.points).map(at).collect()
    }

    /// Rank variability of each patient who has two values.
    pub(super) fn rank_variability(&self) -> Vec<f64> {
        let quantiles = self.quantiles();
        let rank = |&(t, x): &(usize, f64)| quantiles[t].partition_point(|q| *q <= x) as f64;
        let of_patient = |values: &Vec<(usize, f64)>| {
            let (first, last) = (values.first()?, values.last()?);
            // The differences add up to that of the last and the first.
            let steps = (values.len() - 1) as f64;
            (steps > 0.).then(|| (rank(last) - rank(first)) / steps / QUANTILES.len() as f64)
        };
        self.patients.iter().filter_map(of_patient).collect()
    }

    /// P(l; t) at each point by level; none where no cell is near.
    pub(super) fn shares(&self, levels: usize) -> Vec<Vec<f64>> {
        let kernel = kernel(self.points);
        let mut counts = vec![vec![0.; levels]; self.points];
        for (t, x) in self.values() {
            if let Some(count) = counts[t].get_mut(x as usize) {
                *count += 1.;
            }
        }
        let at = |t: usize| {
            let mut shares = vec![0.; levels];
            for (s, counts) in counts.iter().enumerate() {
                let weight = kernel[t.abs_diff(s)];
                shares.iter_mut().zip(counts).for_each(|(share, n)| *share += weight * n);
            }
            let total: f64 = shares.iter().sum();
            if total > 0. { shares.iter().map(|share| share / total).collect() } else { Vec::new() }
        };
        (0..self.points).map(at).collect()
    }

    /// The weights of transitions l → m at each point, not normalised.
    pub(super) fn transitions(&self) -> BTreeMap<(usize, usize), Vec<f64>> {
        let mut counts: BTreeMap<(usize, usize), BTreeMap<(usize, usize), f64>> = BTreeMap::new();
        for pair in self.patients.iter().flat_map(|values| values.windows(2)) {
            let [(s, from), (t, to)] = [pair[0], pair[1]];
            let of_levels = counts.entry((from as usize, to as usize)).or_default();
            *of_levels.entry((s, t)).or_default() += 1.;
        }
        let kernel = kernel(self.points);
        let smoothed = |of_times: BTreeMap<(usize, usize), f64>| {
            let at = |t: usize| {
                let weight = |(&(a, b), count): (&(usize, usize), &f64)| {
                    kernel[t.abs_diff(a).max(t.abs_diff(b))] * count
                };
                of_times.iter().map(weight).sum()
            };
            (0..self.points).map(at).collect()
        };
        counts.into_iter().map(|(levels, of_times)| (levels, smoothed(of_times))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn numbers(value: &Value) -> Vec<f64> {
        let list = value.as_array().expect("a list");
        list.iter().map(|x| x.as_f64().expect("a number")).collect()
    }

    fn series(patients: &Value, points: usize) -> Series {
        let value = |pair: &Value| (numbers(pair)[0] as usize, numbers(pair)[1]);
        let patient =
            |values: &Value| values.as_array().expect("values").iter().map(value).collect();
        let patients = patients.as_array().expect("patients").iter().map(patient).collect();
        Series { points, patients }
    }

    fn agree(what: &str, ours: &[f64], exact: &[f64]) {
        assert_eq!(ours.len(), exact.len(), "{what}");
        for (n, (ours, exact)) in ours.iter().zip(exact).enumerate() {
            let off = (ours - exact).abs() / exact.abs().max(1e-3);
            assert!(off < 1e-8, "{what}, {n}: {ours}, NumPy's {exact}");
        }
    }

    #[test]
    fn all_curves_are_those_of_a_plain_numpy_program() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/trajectories.json");
        let text = std::fs::read_to_string(path).expect("the goldens");
        let goldens: Value = serde_json::from_str(&text).expect("JSON");
        let points = goldens["points"].as_u64().expect("points") as usize;

        let numbers_of = series(&goldens["numbers"], points);
        let moments = numbers_of.moments();
        let found: Vec<Moments> = moments.iter().copied().map(|m| m.expect("values")).collect();
        let of = |of: fn(&Moments) -> f64| -> Vec<f64> { found.iter().map(of).collect() };
        agree("μ", &of(|m| m.mean), &numbers(&goldens["mean"]));
        agree("σ²", &of(|m| m.variance), &numbers(&goldens["variance"]));
        let variogram = numbers_of.variogram(&moments);
        let gamma: Vec<f64> = variogram.values.iter().map(|g| g.expect("pairs")).collect();
        agree("γ", &gamma, &numbers(&goldens["variogram"]));
        agree("pairs", &variogram.pairs, &numbers(&goldens["pairs"]));
        for (t, (ours, exact)) in numbers_of
            .quantiles()
            .iter()
            .zip(goldens["quantiles"].as_array().expect("all"))
            .enumerate()
        {
            agree(&format!("quantiles at {t}"), ours, &numbers(exact));
        }
        agree("ranks", &numbers_of.rank_variability(), &numbers(&goldens["rank_variability"]));

        let levels = series(&goldens["levels"], points);
        let shares: Vec<f64> = levels.shares(3).concat();
        agree("P(l; t)", &shares, &numbers(&goldens["shares"]));
        let weights = levels.transitions();
        let at = |l: usize, m: usize, t: usize| weights.get(&(l, m)).map_or(0., |w| w[t]);
        let mut found = Vec::new();
        for t in 0..points {
            for l in 0..3 {
                let total: f64 = (0..3).map(|m| at(l, m, t)).sum();
                found.extend((0..3).map(|m| at(l, m, t) / total));
            }
        }
        agree("P(l → m; t)", &found, &numbers(&goldens["transitions"]));
    }

    #[test]
    fn a_single_value_and_nothing_at_all_have_what_they_have() {
        let single = Series { points: 2, patients: vec![vec![(0, 3.)], Vec::new()] };
        let moments = single.moments();
        assert_eq!(moments, [Some(Moments { mean: 3., variance: 0. }); 2]);
        assert_eq!(single.variogram(&moments).values, [None, None]);
        assert!(single.rank_variability().is_empty() && single.transitions().is_empty());
        let nothing = Series { points: 2, patients: Vec::new() };
        assert_eq!(nothing.moments(), [None, None]);
        assert_eq!(nothing.variogram(&nothing.moments()).values, [None, None]);
        assert!(nothing.shares(2).concat().is_empty() && nothing.rank_variability().is_empty());
        let huge = Series { points: 1, patients: vec![vec![(0, 1e300), (0, -1e300)]] };
        assert_eq!(huge.moments(), [None]);
        assert_eq!(huge.variogram(&huge.moments()).values, [None]);
        let none = Series { points: 0, patients: Vec::new() };
        assert!(none.moments().is_empty() && none.quantiles().is_empty());
    }
}
