//! `hg watch`: a run's curves in the terminal.

use crate::error::{Error, Result};
use health_gym::{Run, StepMetrics, curves};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::Line;
use ratatui::widgets::{Axis, Block, Chart, Dataset, Gauge, GraphType};
use ratatui::{DefaultTerminal, Frame};
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often the run is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Points of a curve that are drawn; more would fall on each other.
const POINTS: usize = 240;

pub(crate) fn run(folder: &Path) -> Result<()> {
    let run = Run::open(folder)?;
    if !std::io::stdout().is_terminal() {
        let what =
            "hg watch draws in a terminal, and stdout is none; metrics.jsonl has the numbers";
        return Err(Error::Other(what.into()));
    }
    let watched = watch(&mut ratatui::init(), &run);
    ratatui::restore();
    watched
}

fn watch(terminal: &mut DefaultTerminal, run: &Run) -> Result<()> {
    let failed = |e: std::io::Error| Error::Other(format!("cannot draw in this terminal: {e}"));
    let begun = Instant::now();
    let mut first = None;
    loop {
        let steps = run.metrics()?;
        let done = steps.last().map_or(0, |step| step.iteration);
        let since = done.saturating_sub(*first.get_or_insert(done));
        let rate = since as f64 / begun.elapsed().as_secs_f64();
        let title = run.folder().display().to_string();
        let iterations = run.manifest.train.iterations;
        let view = View { title, steps, iterations, rate };
        terminal.draw(|frame| view.draw(frame)).map_err(failed)?;
        let look = Instant::now() + LOOK;
        while let Some(left) = look.checked_duration_since(Instant::now()) {
            if !event::poll(left).map_err(failed)? {
                continue;
            }
            if let Event::Key(key) = event::read().map_err(failed)? {
                let is_control_c =
                    key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                if is_control_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                    return Ok(());
                }
            }
        }
    }
}

/// What is drawn.
struct View {
    title: String,
    steps: Vec<StepMetrics>,
    iterations: u64,
    /// Iterations a second while it was watched.
    rate: f64,
}

impl View {
    fn draw(&self, frame: &mut Frame<'_>) {
        let [head, body, foot] =
            Layout::vertical([Constraint::Length(3), Constraint::Min(0), Constraint::Length(1)])
                .areas(frame.area());
        self.draw_progress(frame, head);
        let curves = curves(&self.steps);
        let rows =
            Layout::vertical(vec![Constraint::Fill(1); curves.len().div_ceil(2)]).split(body);
        for (row, pair) in rows.iter().zip(curves.chunks(2)) {
            let cells = Layout::horizontal([Constraint::Fill(1); 2]).split(*row);
            for (cell, (name, points)) in cells.iter().zip(pair) {
                self.draw_curve(frame, *cell, name, &thinned(points));
            }
        }
        frame.render_widget(Line::from(" q: leave (training goes on)").dim(), foot);
    }

    fn draw_progress(&self, frame: &mut Frame<'_>, area: Rect) {
        let done = self.steps.last().map_or(0, |step| step.iteration);
        let left = match self.rate {
            rate if rate > 0. && done < self.iterations => {
                let seconds = (self.iterations - done) as f64 / rate;
                format!(" · {rate:.1}/s · {:.0} min left", (seconds / 60.).ceil())
            }
            _ => String::new(),
        };
        let label = format!("iteration {done} of {}{left}", self.iterations);
        let gauge = Gauge::default()
            .block(Block::bordered().title(self.title.as_str()))
            .gauge_style(Style::new().fg(Color::Blue))
            .ratio((done as f64 / self.iterations as f64).clamp(0., 1.))
            .label(label);
        frame.render_widget(gauge, area);
    }

    fn draw_curve(&self, frame: &mut Frame<'_>, area: Rect, name: &str, points: &[(f64, f64)]) {
        let last = points.last().map_or(String::new(), |(_, y)| format!(" {y:.4} "));
        let block = Block::bordered()
            .title(format!(" {name} "))
            .title_top(Line::from(last).right_aligned());
        let bounds =
            |side: fn(f64, f64) -> f64, start| points.iter().fold(start, |y, p| side(y, p.1));
        let (low, high) = (bounds(f64::min, f64::INFINITY), bounds(f64::max, f64::NEG_INFINITY));
        let (low, high) = if low < high { (low, high) } else { (low.min(0.), low.max(0.) + 1.) };
        let (low, high) = if low.is_finite() { (low, high) } else { (0., 1.) };
        let curve = Dataset::default()
            .marker(Marker::Braille)
            .graph_type(GraphType::Line)
            .style(Style::new().fg(Color::Cyan))
            .data(points);
        let span = [1., self.steps.last().map_or(2., |step| step.iteration as f64).max(2.)];
        let chart =
            Chart::new(vec![curve]).block(block).x_axis(Axis::default().bounds(span)).y_axis(
                Axis::default()
                    .bounds([low, high])
                    .labels([format!("{low:.3}"), format!("{high:.3}")]),
            );
        frame.render_widget(chart, area);
    }
}

/// The means of stretches of a curve.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mean = |points: &[(f64, f64)]| {
        let sum = points.iter().fold((0., 0.), |sum, p| (sum.0 + p.0, sum.1 + p.1));
        (sum.0 / points.len() as f64, sum.1 / points.len() as f64)
    };
    points.chunks(points.len().div_ceil(POINTS).max(1)).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn step(iteration: u64) -> StepMetrics {
        let wave = (iteration as f64 / 10.).sin();
        let mut scalars = vec![
            ("wasserstein".into(), wave),
            ("generator_loss".into(), -wave),
            ("norm".into(), 1.),
        ];
        if iteration.is_multiple_of(20) {
            scalars.push(("validation".into(), 0.125));
        }
        StepMetrics { iteration, epoch: 0, scalars }
    }

    fn drawn(steps: Vec<StepMetrics>) -> String {
        let view = View { title: "runs/pbc".into(), steps, iterations: 400, rate: 2. };
        let mut terminal = Terminal::new(TestBackend::new(100, 40)).expect("a terminal");
        terminal.draw(|frame| view.draw(frame)).expect("draws");
        terminal.backend().to_string()
    }

    #[test]
    fn progress_and_every_curve_are_on_the_screen() {
        let screen = drawn((1..=100).map(step).collect());
        for text in [
            "runs/pbc",
            "iteration 100 of 400 · 2.0/s · 3 min left",
            "wasserstein",
            "validation",
            "0.1250",
            "generator loss",
        ] {
            assert!(screen.contains(text), "no `{text}` in\n{screen}");
        }
        let dots = screen.chars().filter(|c| ('\u{2801}'..='\u{28ff}').contains(c)).count();
        assert!(dots > 100, "curves are drawn\n{screen}");
    }

    #[test]
    fn a_run_that_has_not_begun_is_drawn_too() {
        assert!(drawn(Vec::new()).contains("iteration 0 of 400"));
    }
}
