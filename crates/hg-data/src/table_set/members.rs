//! The tables in a folder.

use super::require_folder;
use crate::files::{Format, files, is_txt};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The files of a table.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Its file, or the folder that holds its files.
    pub(crate) path: PathBuf,
    pub(crate) files: Vec<PathBuf>,
    /// How a synthetic one is called in the folder.
    pub(crate) file: String,
}

/// The tables of a folder, by their names: `labs` is `labs.csv` (or another kind of table), or what
/// lies in and below the folder `labs`. In place of a folder a pattern of files will do.
pub(crate) fn members(path: &Path) -> Result<BTreeMap<String, Member>> {
    require_folder(path)?;
    let mut found: BTreeMap<String, Member> = BTreeMap::new();
    let mut add = |name: String, member: Member| match found.get(&name) {
        Some(other) => {
            let problem = format!(
                "is the table `{name}`, and so is {}\nhint: move one of them elsewhere",
                other.path.display()
            );
            Err(Error::file(&member.path, problem))
        }
        None => {
            found.insert(name, member);
            Ok(())
        }
    };
    let (files, folders) = entries(path)?;
    for file in files {
        let (name, whole) = (stem(&file), file_name(&file));
        add(name, Member { path: file.clone(), files: vec![file], file: whole })?;
    }
    for folder in folders {
        let files = files_below(&folder)?;
        let Some(first) = files.first() else { continue };
        let name = file_name(&folder);
        let whole = file_name(first);
        let ending = &whole[stem(first).len()..];
        let file = format!("{name}/0{ending}");
        add(name, Member { path: folder, files, file })?;
    }
    match found.is_empty() {
        true => {
            Err(Error::file(path, "holds no table\nhint: .csv, .parquet and .arrow are tables"))
        }
        false => Ok(found),
    }
}

/// The files of tables at a path, and the folders beside them.
fn entries(path: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    if !path.is_dir() {
        return Ok((files(path)?, Vec::new()));
    }
    let unreadable = |e| Error::file(path, format!("cannot list the folder: {e}"));
    let entries = std::fs::read_dir(path).map_err(unreadable)?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let shown = paths.filter(|path| !file_name(path).starts_with('.'));
    let (mut folders, mut files): (Vec<PathBuf>, Vec<PathBuf>) = shown.partition(|p| p.is_dir());
    files.retain(|file| Format::of(file).is_ok());
    if !(folders.is_empty() && files.iter().all(|file| is_txt(file))) {
        files.retain(|file| !is_txt(file));
    }
    folders.sort();
    files.sort();
    Ok((files, folders))
}

/// The files of tables in a folder and below it, in order; of a pattern those that fit.
pub(crate) fn files_below(path: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, folders) = entries(path)?;
    for folder in folders {
        files.extend(files_below(&folder)?);
    }
    Ok(files)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A file's name without the endings that say what it is.
fn stem(file: &Path) -> String {
    let without = file.with_extension("");
    let is_packed = matches!(Format::of(file), Ok((_, Some(_))));
    file_name(&if is_packed { without.with_extension("") } else { without })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_called_by_their_files_and_folders() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("makes");
            std::fs::write(path, "a\n1\n").expect("writes");
        };
        ["labs.csv.gz", "a.b.csv", "note.txt", "data/x/1.parquet", "data/0.parquet", "no/x.md"]
            .into_iter()
            .for_each(write);
        let found = members(folder.path())?;
        let shown: Vec<(&str, &str, usize)> = found
            .iter()
            .map(|(name, member)| (name.as_str(), member.file.as_str(), member.files.len()))
            .collect();
        let right =
            [("a.b", "a.b.csv", 1), ("data", "data/0.parquet", 2), ("labs", "labs.csv.gz", 1)];
        assert_eq!(shown, right);
        let pattern = members(&folder.path().join("*.csv*"))?;
        assert_eq!(pattern.keys().collect::<Vec<_>>(), ["a.b", "labs"]);
        write("labs.parquet");
        let error = members(folder.path()).expect_err("refused").to_string();
        assert!(error.contains("labs.parquet: is the table `labs`, and so is "), "{error}");
        let error = members(&folder.path().join("note.txt")).expect_err("refused").to_string();
        assert!(error.contains("is one file, but the schema has several"), "{error}");
        Ok(())
    }
}
