//! Pictures of a comparison, as SVG texts.

use super::projection::Projection;
use crate::statistics::shares;
use crate::{ColumnComparison, Error, Result};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use std::ops::Range;

const REAL: RGBColor = RGBColor(64, 104, 150);
const SYNTHETIC: RGBColor = RGBColor(230, 126, 34);
const FONT: &str = "sans-serif";
const PANEL: (u32, u32) = (300, 210);
const BINS: usize = 24;

/// A column's name, with its unit where it has one.
pub(super) fn titled(name: &str, unit: &str) -> String {
    if unit.is_empty() { name.to_owned() } else { format!("{name} ({unit})") }
}

/// A column's distribution: histograms of numbers, shares of levels, real beside synthetic.
///
/// # Errors
/// When the picture cannot be drawn.
pub(super) fn draw_marginal(column: &ColumnComparison) -> Result<String> {
    svg(PANEL, |root| draw_column(root, column))
}

fn draw_column<B: DrawingBackend>(panel: &DrawingArea<B, Shift>, column: &ColumnComparison) -> Drawn
where
    B::ErrorType: 'static,
{
    let title = titled(&column.name, &column.unit);

    // The bars' heights.
    let discrete = !column.levels.is_empty();
    let (low, high, bins) = if discrete {
        (-0.5, column.levels.len() as f64 - 0.5, column.levels.len())
    } else {
        let (low, high) = plotted_range(&column.real);
        (low, high, BINS)
    };
    let heights = |values: &[f64]| {
        if discrete { shares(values, bins) } else { histogram(values, low, high) }
    };
    let (real, synthetic) = (heights(&column.real), heights(&column.synthetic));
    let top = real.iter().chain(&synthetic).copied().fold(0., f64::max).max(1e-3) * 1.08;

    // The axes.
    let mut chart = ChartBuilder::on(panel)
        .caption(title, (FONT, 14))
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(40)
        .build_cartesian_2d(low..high, 0f64..top)?;
    let level = |x: &f64| {
        let nearest = x.round();
        let name = column.levels.get(nearest as usize).filter(|_| (x - nearest).abs() < 1e-6);
        name.map(|name| name.chars().take(12).collect()).unwrap_or_default()
    };
    let number = |x: &f64| number(*x, high - low);
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh().light_line_style(WHITE).y_labels(4).label_style((FONT, 11));
    mesh.y_label_formatter(&|share| format!("{:.0} %", share * 100.));
    if discrete {
        mesh.x_labels(bins).x_label_formatter(&level).draw()?;
    } else {
        mesh.x_labels(5).x_label_formatter(&number).draw()?;
    }

    // The bars, real beside synthetic.
    let width = (high - low) / bins as f64;
    let half = 0.42 * width;
    let bar = |bin: usize, share: f64, left: bool, colour: RGBColor| {
        let middle = low + (bin as f64 + 0.5) * width;
        let (from, to) = if left { (middle - half, middle) } else { (middle, middle + half) };
        Rectangle::new([(from, 0.), (to, share)], colour.filled())
    };
    chart.draw_series(real.iter().enumerate().map(|(n, &share)| bar(n, share, true, REAL)))?;
    let bars = synthetic.iter().enumerate().map(|(n, &share)| bar(n, share, false, SYNTHETIC));
    chart.draw_series(bars)?;
    Ok(())
}

/// From the least real value to the 99th percentile, so that a long tail does
/// not flatten the rest. What lies outside counts in the outermost bins.
fn plotted_range(real: &[f64]) -> (f64, f64) {
    let mut sorted = real.to_vec();
    sorted.sort_by(f64::total_cmp);
    let low = sorted.first().copied().unwrap_or(0.);
    let high = sorted.get((sorted.len() * 99 / 100).min(sorted.len().saturating_sub(1)));
    let high = high.copied().unwrap_or(1.);
    drawable(low, high)
}

/// Ends of an axis that lie apart, also after rounding, and whose distance is a number.
fn drawable(low: f64, high: f64) -> (f64, f64) {
    const END: f64 = 1e300;
    let (low, high) = (low.clamp(-END, END), high.clamp(-END, END));
    let least = 1e-9 * low.abs().max(high.abs());
    if high - low > least { (low, high) } else { (low - least.max(0.5), low + least.max(0.5)) }
}

fn histogram(values: &[f64], low: f64, high: f64) -> Vec<f64> {
    let bin = |value: &f64| ((value - low) / (high - low) * BINS as f64).floor();
    let bins: Vec<f64> =
        values.iter().map(|value| bin(value).clamp(0., (BINS - 1) as f64)).collect();
    shares(&bins, BINS)
}

fn number(x: f64, range: f64) -> String {
    let decimals = if range >= 10. { 0 } else { 1 + usize::from(range < 1.) };
    format!("{x:.decimals$}")
}

/// A name, and points by iteration.
pub type Curve = (String, Vec<(f64, f64)>);

/// Draws a curve.
///
/// # Errors
/// When the picture cannot be drawn.
pub(super) fn draw_curve((name, points): &Curve) -> Result<String> {
    svg(PANEL, |root| draw_line(root, name, points))
}

fn draw_line<B: DrawingBackend>(
    panel: &DrawingArea<B, Shift>,
    name: &str,
    points: &[(f64, f64)],
) -> Drawn
where
    B::ErrorType: 'static,
{
    let points: Vec<(f64, f64)> = points.iter().copied().filter(|(_, y)| y.is_finite()).collect();
    let mut values: Vec<f64> = points.iter().map(|(_, y)| *y).collect();
    values.sort_by(f64::total_cmp);
    // The wild beginning would flatten the rest.
    let at = |share: f64| values.get((share * (values.len() - 1) as f64) as usize).copied();
    let (low, high) = if values.len() > 100 { (at(0.005), at(0.995)) } else { (at(0.), at(1.)) };
    let (low, high) = (low.unwrap_or(0.).clamp(-1e300, 1e300), high.unwrap_or(1.).min(1e300));
    let room = (0.05 * (high - low)).max(1e-6 * high.abs()).max(1e-9);
    let last = points.last().map_or(1., |(x, _)| *x).max(1.);
    let mut chart = over_time(panel, name, last, low - room..high + room, high - low)?;
    // No more points than pixels: the mean of each stretch.
    let stretch = points.len().div_ceil(PANEL.0 as usize);
    let line = points.chunks(stretch.max(1)).map(|points| {
        let n = points.len() as f64;
        let sum = points.iter().fold((0., 0.), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / n, (sum.1 / n).clamp(low - room, high + room))
    });
    chart.draw_series(LineSeries::new(line, REAL.stroke_width(1)))?;
    Ok(())
}

type Lines<'a, B> = ChartContext<'a, B, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// An empty chart of numbers from 0 to `last` on; `range` says how many decimals they need.
fn over_time<'a, B: DrawingBackend>(
    panel: &'a DrawingArea<B, Shift>,
    title: &str,
    last: f64,
    values: Range<f64>,
    range: f64,
) -> std::result::Result<Lines<'a, B>, Box<dyn std::error::Error + Send + Sync>>
where
    B::ErrorType: 'static,
{
    let mut chart = ChartBuilder::on(panel)
        .caption(title, (FONT, 14))
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(44)
        .build_cartesian_2d(0f64..last, values)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .x_labels(4)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_labels(4)
        .y_label_formatter(&|y| number(*y, range))
        .label_style((FONT, 11))
        .draw()?;
    Ok(chart)
}

/// A matrix of correlations: blue −1, white 0, red 1.
///
/// # Errors
/// When the picture cannot be drawn.
pub(super) fn draw_correlation(names: &[&str], matrix: &[Vec<f64>], title: &str) -> Result<String> {
    let count = names.len() as i32;
    let (left, top) = (112, 116);
    let cell = (330 / count.max(1)).clamp(6, 24);
    let side = cell * count;
    let size = ((left + side + 8) as u32, (top + side + 8) as u32);
    svg(size, |root| {
        root.draw(&Text::new(title, (8, 8), (FONT, 15)))?;
        for (i, row) in matrix.iter().enumerate() {
            let y = top + cell * i as i32;
            for (j, &value) in row.iter().enumerate() {
                let x = left + cell * j as i32;
                let corners = [(x, y), (x + cell - 1, y + cell - 1)];
                root.draw(&Rectangle::new(corners, diverging(value).filled()))?;
            }
        }
        // Where cells are small, not every name fits.
        let every = (11 / cell + 1) as usize;
        for (i, name) in names.iter().enumerate().step_by(every) {
            let name: String = name.chars().take(15).collect();
            let at = cell * i as i32 + cell / 2 - 6;
            let style = TextStyle::from((FONT, 12).into_font());
            let up = style.transform(FontTransform::Rotate270);
            root.draw(&Text::new(name.clone(), (left + at, top - 6), up))?;
            root.draw(&Text::new(name, (6, top + at), (FONT, 12)))?;
        }
        Ok(())
    })
}

/// Some patients' values of a column over their steps.
///
/// # Errors
/// When the picture cannot be drawn.
pub(super) fn draw_trajectories(
    title: &str,
    real: &[Vec<(f64, f64)>],
    synthetic: &[Vec<(f64, f64)>],
) -> Result<String> {
    let (last, (low, high)) = extent(|| real.iter().chain(synthetic).flatten().copied());
    svg(PANEL, |root| {
        let mut chart = over_time(root, title, last, low..high, high - low)?;
        for (patients, colour) in [(real, REAL), (synthetic, SYNTHETIC)] {
            for patient in patients {
                chart.draw_series(LineSeries::new(
                    patient.iter().copied(),
                    colour.stroke_width(1),
                ))?;
            }
        }
        Ok(())
    })
}

/// The last step of some points, 1 at least, and the range of their values that is drawn.
fn extent<I: Iterator<Item = (f64, f64)>>(points: impl Fn() -> I) -> (f64, (f64, f64)) {
    let last = points().fold(1., |last: f64, (x, _)| last.max(x));
    let low = points().fold(f64::INFINITY, |low, (_, y)| low.min(y));
    let high = points().fold(f64::NEG_INFINITY, |high, (_, y)| high.max(y));
    let (low, high) = if low < high { (low, high) } else { (low.min(0.), low.max(0.) + 1.) };
    (last, if low.is_finite() { drawable(low, high) } else { (0., 1.) })
}

/// A step, and the quartiles at it.
pub(super) type Band = (f64, [f64; 3]);

/// One patient's values of a column over their steps, before the quartiles of a kind.
///
/// # Errors
/// When the picture cannot be drawn.
pub(super) fn draw_beside_kind(
    title: &str,
    bands: &[Band],
    patient: &[(f64, f64)],
) -> Result<String> {
    let quartile = |n: usize| bands.iter().map(move |(x, of)| (*x, of[n]));
    let (last, (low, high)) = extent(|| patient.iter().copied().chain((0..3).flat_map(quartile)));
    let room = 0.05 * (high - low);
    svg(PANEL, |root| {
        let mut chart = over_time(root, title, last, low - room..high + room, high - low)?;
        let around: Vec<(f64, f64)> =
            quartile(0).chain(quartile(2).collect::<Vec<_>>().into_iter().rev()).collect();
        chart.draw_series(std::iter::once(Polygon::new(around, REAL.mix(0.2).filled())))?;
        chart.draw_series(LineSeries::new(quartile(1), REAL.stroke_width(1)))?;
        chart.draw_series(LineSeries::new(patient.iter().copied(), SYNTHETIC.stroke_width(2)))?;
        chart.draw_series(patient.iter().map(|&at| Circle::new(at, 2, SYNTHETIC.filled())))?;
        Ok(())
    })
}

/// Patients as points of a plane.
///
/// # Errors
/// When the picture cannot be drawn.
pub(super) fn draw_points(projection: &Projection) -> Result<String> {
    let Projection { real, synthetic, explained } = projection;
    let range = |of: fn(&(f64, f64)) -> f64| {
        let values = || real.iter().chain(synthetic).map(of);
        let (low, high) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
        let room = (0.05 * (high - low)).max(1e-6);
        low - room..high + room
    };
    let (across, up) = (range(|point| point.0), range(|point| point.1));
    let axis =
        |n: usize| format!("component {}: {:.0} % of the variance", n + 1, 100. * explained[n]);
    svg((620, 400), |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(8)
            .x_label_area_size(40)
            .y_label_area_size(56)
            .build_cartesian_2d(across, up)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_labels(5)
            .y_labels(5)
            .x_desc(axis(0))
            .y_desc(axis(1))
            .label_style((FONT, 12))
            .draw()?;
        for (points, colour) in [(real, REAL), (synthetic, SYNTHETIC)] {
            let dots = points.iter().map(|&point| Circle::new(point, 3, colour.mix(0.5).filled()));
            chart.draw_series(dots)?;
        }
        Ok(())
    })
}

/// −1 blue, 0 white, 1 red.
fn diverging(value: f64) -> RGBColor {
    let end = if value < 0. { REAL } else { RGBColor(192, 57, 43) };
    let strength = value.abs().min(1.);
    let mix = |channel: u8| (255. + strength * (f64::from(channel) - 255.)).round() as u8;
    RGBColor(mix(end.0), mix(end.1), mix(end.2))
}

type Drawn = std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;

fn svg(
    size: (u32, u32),
    draw: impl FnOnce(&DrawingArea<SVGBackend, Shift>) -> Drawn,
) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let failed = |source| Error::Picture { source };
        root.fill(&WHITE).map_err(|e| failed(e.into()))?;
        draw(&root).map_err(failed)?;
        root.present().map_err(|e| failed(e.into()))?;
    }
    Ok(svg)
}
