//! The card as Croissant: JSON-LD of MLCommons (Akhtar et al. 2024, doi:10.1145/3650203.3663326), version 1.0
//! with its vocabulary of responsible AI.

use super::markdown::{NOT_STATED, known};
use super::{Card, CardColumn, CardFile, CardTable, LIMITS, METHOD, MISUSES, REFERENCE, USES};
use crate::Result;
use serde_json::{Value, json};

impl Card {
    /// The card as `card.json`: a Croissant description of the synthetic tables, with paths relative to
    /// the folder that holds it.
    ///
    /// # Errors
    /// [`Error::Json`](crate::Error::Json), which no card should lead to.
    pub fn croissant(&self) -> Result<String> {
        let license =
            self.license.as_deref().map_or(NOT_STATED.to_owned(), |text| match known(text) {
                Some((spdx, _)) => format!("https://spdx.org/licenses/{spdx}.html"),
                None => text.to_owned(),
            });
        let made = &self.made;
        let description = format!(
            "{} synthetic patients, {} rows. {} {}",
            made.patients,
            made.rows,
            self.origin(),
            self.description
        );
        let mut limits: Vec<String> = LIMITS.map(str::to_owned).to_vec();
        limits.extend(self.faults());
        limits.extend(MISUSES.map(|misuse| format!("Not intended: {misuse}")));
        let card = json!({
            "@context": context(),
            "@type": "sc:Dataset",
            "conformsTo": [
                "http://mlcommons.org/croissant/1.0",
                "http://mlcommons.org/croissant/RAI/1.0",
            ],
            "name": self.title(),
            "description": description.trim_end(),
            "license": license,
            "citeAs": REFERENCE,
            "keywords": ["synthetic", "medical", "tabular", "time series"],
            "distribution": self.files.iter().map(distribution).collect::<Vec<_>>(),
            "recordSet": self.tables.iter().map(record_set).collect::<Vec<_>>(),
            "rai:dataCollection": format!("{} {METHOD} {}", self.origin(), self.program()),
            "rai:dataCollectionType": ["Synthetic: drawn from a generative model"],
            "rai:dataCollectionMissingData":
                "An empty cell is a value that is not measured, as the model has it; so it was in the private table.",
            "rai:dataLimitations": limits,
            "rai:dataBiases": [LIMITS[1]],
            "rai:dataUseCases": USES,
            "rai:personalSensitiveInformation": self.sensitive(),
        });
        Ok(serde_json::to_string_pretty(&card)? + "\n")
    }

    /// What is to be said of personal information: the promise, and what attacks came to.
    fn sensitive(&self) -> Vec<String> {
        let first = "The tables describe health. Synthetic patients are numbered anew, and no row is a person.";
        let answers = self.measured.iter().flat_map(|m| m.answers_of(hg_eval::Topic::Privacy));
        let attacks = answers
            .map(|answer| format!("{} {}: {}", answer.question, answer.verdict(), answer.because));
        [first.to_owned(), self.promise()].into_iter().chain(attacks).collect()
    }
}

fn distribution(file: &CardFile) -> Value {
    json!({
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "contentUrl": file.path,
        "contentSize": format!("{} B", file.bytes),
        "encodingFormat": encoding_format(&file.path),
        "sha256": file.sha256,
    })
}

/// The media type by the ending of a file's name.
fn encoding_format(path: &str) -> &'static str {
    let path = path.to_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|ending| path.ends_with(ending));
    if ends(&[".gz"]) {
        "application/gzip"
    } else if ends(&[".zst"]) {
        "application/zstd"
    } else if ends(&[".parquet", ".pq"]) {
        "application/x-parquet"
    } else if ends(&[".arrow", ".feather", ".ipc"]) {
        "application/vnd.apache.arrow.file"
    } else if ends(&[".tsv"]) {
        "text/tab-separated-values"
    } else {
        "text/csv"
    }
}

fn record_set(CardTable { name, file, columns }: &CardTable) -> Value {
    let field = |column: &CardColumn| {
        json!({
            "@type": "cr:Field",
            "@id": format!("{name}/{}", column.name),
            "name": column.name,
            "description": column.sentence(),
            "dataType": column.data_type,
            "source": {"fileObject": {"@id": file}, "extract": {"column": column.name}},
        })
    };
    json!({
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": format!("The rows of {file}."),
        "field": columns.iter().map(field).collect::<Vec<_>>(),
    })
}

impl CardColumn {
    /// What it holds, its unit and its levels.
    fn sentence(&self) -> String {
        let mut text = self.holds.clone();
        if !self.unit.is_empty() {
            text += &format!("; unit: {}", self.unit);
        }
        if !self.levels.is_empty() {
            text += &format!("; levels: {}", self.levels.join(", "));
        }
        text
    }
}

/// The context of Croissant 1.0, as its specification has it.
fn context() -> Value {
    json!({
        "@language": "en",
        "@vocab": "https://schema.org/",
        "citeAs": "cr:citeAs",
        "column": "cr:column",
        "conformsTo": "dct:conformsTo",
        "cr": "http://mlcommons.org/croissant/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "data": {"@id": "cr:data", "@type": "@json"},
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        "dct": "http://purl.org/dc/terms/",
        "equivalentProperty": "cr:equivalentProperty",
        "examples": {"@id": "cr:examples", "@type": "@json"},
        "extract": "cr:extract",
        "field": "cr:field",
        "fileProperty": "cr:fileProperty",
        "fileObject": "cr:fileObject",
        "fileSet": "cr:fileSet",
        "format": "cr:format",
        "includes": "cr:includes",
        "isLiveDataset": "cr:isLiveDataset",
        "jsonPath": "cr:jsonPath",
        "key": "cr:key",
        "md5": "cr:md5",
        "parentField": "cr:parentField",
        "path": "cr:path",
        "recordSet": "cr:recordSet",
        "references": "cr:references",
        "regex": "cr:regex",
        "repeated": "cr:repeated",
        "replace": "cr:replace",
        "samplingRate": "cr:samplingRate",
        "sc": "https://schema.org/",
        "separator": "cr:separator",
        "source": "cr:source",
        "subField": "cr:subField",
        "transform": "cr:transform",
    })
}
