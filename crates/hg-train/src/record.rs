//! What a run writes down of each iteration: `metrics.jsonl`, and the same for TensorBoard.

use crate::{Error, Result, StepMetrics, tensorboard};
use hg_data::write_atomically;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

const METRICS: &str = "metrics.jsonl";
const EVENTS: &str = "tensorboard/events.out.tfevents.hg";

/// The two files, open for more.
#[derive(Debug)]
pub(crate) struct Record {
    folder: PathBuf,
    metrics: BufWriter<File>,
    events: BufWriter<File>,
}

impl Record {
    /// Cuts the files of a run folder after an iteration and opens them for more.
    pub(crate) fn up_to(folder: &Path, iteration: u64) -> Result<Self> {
        let steps: Vec<StepMetrics> =
            read(folder)?.into_iter().take_while(|step| step.iteration <= iteration).collect();
        let events = folder.join(EVENTS);
        if let Some(folder) = events.parent() {
            std::fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
        }
        let metrics = rewrite(&folder.join(METRICS), |file| {
            steps.iter().try_for_each(|step| write_line(file, step))
        })?;
        let events = rewrite(&events, |file| {
            tensorboard::write_head(file)?;
            steps.iter().try_for_each(|step| tensorboard::write_step(file, step))
        })?;
        Ok(Self { folder: folder.to_owned(), metrics, events })
    }

    pub(crate) fn add(&mut self, step: &StepMetrics) -> Result<()> {
        write_line(&mut self.metrics, step).map_err(|e| failed(&self.folder.join(METRICS), e))?;
        let written = tensorboard::write_step(&mut self.events, step);
        written.map_err(|e| failed(&self.folder.join(EVENTS), e))?;
        // Whoever watches should see it now.
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        self.metrics.flush().map_err(|e| failed(&self.folder.join(METRICS), e))?;
        self.events.flush().map_err(|e| failed(&self.folder.join(EVENTS), e))
    }
}

/// The iterations that `metrics.jsonl` of a run folder tells of, up to the first line that is
/// not whole; none where there is no such file.
pub(crate) fn read(folder: &Path) -> Result<Vec<StepMetrics>> {
    let path = folder.join(METRICS);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::Run { path, problem: format!("cannot read: {e}") }),
    };
    let lines = BufReader::new(file).lines().map_while(std::result::Result::ok);
    Ok(lines.map_while(|line| serde_json::from_str(&line).ok()).collect())
}

fn write_line(to: &mut impl Write, step: &StepMetrics) -> std::io::Result<()> {
    serde_json::to_writer(&mut *to, step)?;
    to.write_all(b"\n")
}

fn rewrite(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> std::io::Result<()>,
) -> Result<BufWriter<File>> {
    write_atomically(path, |file| {
        let mut file = BufWriter::new(file);
        write(&mut file).and_then(|()| file.flush()).map_err(|e| failed(path, e))
    })?;
    let file = File::options().append(true).open(path);
    Ok(BufWriter::new(file.map_err(|e| failed(path, e))?))
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::Write { path: path.to_owned(), what: "what was measured", source }
}
