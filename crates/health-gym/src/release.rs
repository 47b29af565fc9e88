//! What may leave the house: the synthetic tables of a run, their card, and a page of verdicts.

use crate::card::{CardFile, NUMBERS, TEXT, files, guarantee_of};
use crate::{Card, Error, Measured, Result, evaluation};
use hg_eval::Topic;
use hg_train::Run;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The page of verdicts in the release.
const REPORT: &str = "report.md";
const SUMS: &str = "SHA256SUMS";

/// What a custodian decides on.
#[derive(Clone, Debug, Default)]
pub struct ReleaseOptions {
    /// The licence of the synthetic tables: an SPDX identifier or a text. `None` says that it is not
    /// stated.
    pub license: Option<String>,
    /// Releases a cohort that failed a question of privacy, or that was not evaluated as it is now; the
    /// card says so.
    pub despite_privacy: bool,
}

/// A release that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Released {
    /// Its files, relative to its folder.
    pub files: Vec<String>,
}

/// Writes what of a run may leave the house to a new folder: the synthetic tables byte for byte, `card.md`,
/// `card.json`, `report.md` (verdicts, no real patients; none where there is a [`Guarantee`](crate::Guarantee)) and `SHA256SUMS`.
/// Nothing that was fitted to the private table is among them. The private table is not read.
///
/// # Errors
/// [`Error::Release`] when the folder exists, the run has no cohort, or, without
/// [`ReleaseOptions::despite_privacy`], the cohort failed a question of privacy or was not evaluated as it is now;
/// [`Error::Write`] when the folder cannot be written. Nothing is left behind.
pub fn release(run: &Run, folder: &Path, options: &ReleaseOptions) -> Result<Released> {
    if folder.exists() {
        let problem = "already exists\nhint: choose another --out";
        return Err(refused(folder, problem));
    }
    let cohort = files(run)?;
    let measured = evaluated(run, &cohort)?;
    // Under a guarantee what attacks find is not asked for: the answer would be one more look at the table.
    if !options.despite_privacy && guarantee_of(run).is_none() {
        require_private(run, measured.as_ref())?;
    }
    let card = Card::new(run, measured, options.license.as_deref())?;

    // In a folder beside the one to make: what is renamed is whole.
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(failed(parent))?;
    let scratch = tempfile::Builder::new().prefix(".hg-release").tempdir_in(parent);
    let scratch = scratch.map_err(failed(parent))?;
    let made = scratch.path().join("release");
    let files = fill(run, &card, &made)?;
    std::fs::rename(&made, folder).map_err(failed(folder))?;
    Ok(Released { files })
}

fn fill(run: &Run, card: &Card, folder: &Path) -> Result<Vec<String>> {
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    let mut names = Vec::new();
    for CardFile { path, sha256, .. } in card.files() {
        let to = folder.join(path);
        let below = to.parent().unwrap_or(folder);
        std::fs::create_dir_all(below).map_err(failed(below))?;
        std::fs::copy(run.folder().join(path), &to).map_err(failed(&to))?;
        if hg_data::fingerprint(&to)? != *sha256 {
            return Err(refused(&to, "changed while it was copied\nhint: try again"));
        }
        names.push(path.clone());
    }
    card.save(folder)?;
    names.extend([TEXT.to_owned(), NUMBERS.to_owned()]);
    if let Some(page) = card.verdicts() {
        let path = folder.join(REPORT);
        std::fs::write(&path, page).map_err(failed(&path))?;
        names.push(REPORT.into());
    }
    names.sort();

    let mut sums = String::new();
    for name in &names {
        let sum = hg_data::fingerprint(&folder.join(name))?;
        // Writing to a text does not fail.
        let _ = writeln!(sums, "{sum}  {name}");
    }
    let path = folder.join(SUMS);
    std::fs::write(&path, sums).map_err(failed(&path))?;
    names.push(SUMS.into());
    Ok(names)
}

/// What the run's evaluation found; `None` where there is none, or it was one of other synthetic tables: the
/// run's own card has the sums of those that were evaluated.
fn evaluated(run: &Run, cohort: &[CardFile]) -> Result<Option<Measured>> {
    let (Some(card), Some(figures)) =
        (read(&run.folder().join(NUMBERS))?, read(&run.report().join(evaluation::NUMBERS))?)
    else {
        return Ok(None);
    };
    let is_of = |file: &CardFile| {
        let known = card["distribution"].as_array().into_iter().flatten();
        let sum = |known: &serde_json::Value| known["sha256"] == file.sha256.as_str();
        known.filter(|known| known["contentUrl"] == file.path.as_str()).any(sum)
    };
    cohort.iter().all(is_of).then(|| Measured::of_json(figures)).transpose()
}

/// The JSON of a file; `None` where it is not there.
fn read(path: &Path) -> Result<Option<serde_json::Value>> {
    let bad = |problem: String| {
        refused(path, &format!("{problem}\nhint: `hg evaluate RUN` writes it again"))
    };
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| bad(e.to_string())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(bad(format!("cannot be read: {e}"))),
    }
}

/// Refuses what a careful custodian would not let go.
fn require_private(run: &Run, measured: Option<&Measured>) -> Result<()> {
    let Some(measured) = measured else {
        let problem = "the synthetic tables have not been evaluated as they are now\nhint: run `hg evaluate RUN` \
                       first; --despite-privacy releases them without, and the card says so";
        return Err(refused(run.folder(), problem));
    };
    let failed = measured.answers_of(Topic::Privacy).filter(|answer| answer.passed == Some(false));
    let failed: Vec<String> =
        failed.map(|answer| format!("{} {}", answer.question, answer.because)).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let problem = format!(
        "a question of privacy is failed: {}\nhint: read report/report.html, pool rare levels, leave out columns, or \
         train for less long; --despite-privacy releases it all the same, and the card says what is failed",
        failed.join("; ")
    );
    Err(refused(run.folder(), &problem))
}

fn refused(path: &Path, problem: &str) -> Error {
    Error::Release { path: path.to_owned(), problem: problem.to_owned() }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path: PathBuf = path.to_owned();
    move |source| Error::Write { path, source }
}
