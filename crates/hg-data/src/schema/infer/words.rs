//! What names say, and how texts are written into TOML and its comments.

/// Words for a patient or a stay.
const PATIENT_WORDS: [&str; 30] = [
    "patient",
    "subject",
    "person",
    "participant",
    "stay",
    "icustay",
    "admission",
    "hadm",
    "case",
    "encounter",
    "mrn",
    "pid",
    "ptnum",
    "ptid",
    "patnr",
    "usubjid",
    "subjid",
    "client",
    "member",
    "proband",
    "fall",
    "fallnummer",
    "patientennummer",
    "record",
    "episode",
    "visitor",
    "stays",
    "pt",
    "pat",
    "id",
];
/// Words for a time.
const TIME_WORDS: [&str; 49] = [
    "time",
    "times",
    "timepoint",
    "timestep",
    "day",
    "days",
    "date",
    "datetime",
    "hour",
    "hours",
    "offset",
    "visit",
    "visits",
    "month",
    "months",
    "week",
    "weeks",
    "minute",
    "minutes",
    "min",
    "mins",
    "step",
    "year",
    "years",
    "seq",
    "sequence",
    "second",
    "seconds",
    "timestamp",
    "charttime",
    "epoch",
    "period",
    "tag",
    "datum",
    "zeit",
    "stunde",
    "cycle",
    "round",
    "wave",
    "hr",
    "ady",
    "dtc",
    "vsdtc",
    "lbdtc",
    "vsdy",
    "lbdy",
    "visitnum",
    "avisitn",
    "visitdt",
];
/// Of these, those that may well be something else.
const WEAK_TIMES: [&str; 6] = ["min", "hr", "sequence", "round", "period", "visits"];
/// Words of a name that make it an identifier's.
const ID_WORDS: [&str; 24] = [
    "id",
    "ids",
    "mrn",
    "pid",
    "uid",
    "uuid",
    "guid",
    "eid",
    "sid",
    "hadm",
    "ssn",
    "nhs",
    "key",
    "accession",
    "barcode",
    "identifier",
    "encounter",
    "ptnum",
    "ptid",
    "usubjid",
    "subjid",
    "patnr",
    "fallnummer",
    "medrec",
];
/// Words whose "…id" is an identifier's name: `stayid`, `uniquepid`.
const BEFORE_ID: [&str; 26] = [
    "patient",
    "subject",
    "person",
    "participant",
    "stay",
    "case",
    "encounter",
    "visit",
    "hadm",
    "admission",
    "episode",
    "record",
    "sample",
    "specimen",
    "order",
    "event",
    "row",
    "unit",
    "hospital",
    "member",
    "study",
    "unique",
    "uniquep",
    "client",
    "lab",
    "icu",
];
/// Words of a name whose column holds codes, be they digits.
const CODE_WORDS: [&str; 13] = [
    "dx", "icd", "icd9", "icd10", "code", "codes", "atc", "loinc", "snomed", "zip", "postcode",
    "plz", "ndc",
];

/// A name's words, in lower case: `CombinedID`, `alk.phos` and `lab_result` have two.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase()) {
            words.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

fn whole(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// From 0 to 1: how much a name is that of the patient.
pub(super) fn patient_likeness(name: &str) -> f64 {
    let (whole, words) = (whole(name), words(name));
    let is_word = |word: &String| PATIENT_WORDS.contains(&word.as_str());
    match () {
        () if is_word(&whole) => 1.,
        () if words.iter().all(is_word) => 1.,
        () if whole.strip_suffix("id").is_some_and(|stem| is_word(&stem.to_owned())) => 1.,
        () if is_identifier(name) => 0.8,
        () if words.iter().any(is_word) => 0.4,
        () => 0.,
    }
}

/// From 0 to 1: how much a name is that of a time.
pub(super) fn time_likeness(name: &str) -> f64 {
    let (whole, words) = (whole(name), words(name));
    let is_word = |word: &str| TIME_WORDS.contains(&word) && !WEAK_TIMES.contains(&word);
    let long = TIME_WORDS.iter().filter(|word| word.len() > 3);
    match () {
        () if is_word(&whole) => 1.,
        () if words.iter().any(|word| is_word(word)) => 0.9,
        () if WEAK_TIMES.contains(&whole.as_str()) => 0.3,
        () if long.clone().any(|word| whole.ends_with(word) || whole.starts_with(word)) => 0.7,
        () if whole == "t" || whole == "age" => 0.4,
        () => 0.,
    }
}

/// Whether a name is that of an identifier.
pub(super) fn is_identifier(name: &str) -> bool {
    let (whole, words) = (whole(name), words(name));
    let stem = whole.strip_suffix("id");
    words.iter().any(|word| ID_WORDS.contains(&word.as_str()))
        || stem.is_some_and(|stem| BEFORE_ID.iter().any(|word| stem.ends_with(word)))
        || ["patient", "subject", "participant", "person", "encounter"].contains(&whole.as_str())
}

/// Whether a name is that of codes.
pub(super) fn is_code_name(name: &str) -> bool {
    words(name).iter().any(|word| CODE_WORDS.contains(&word.as_str()))
}

/// Whether one of a name's words, or the whole of it, is among `wanted`.
pub(super) fn has_word(name: &str, wanted: &[&str]) -> bool {
    wanted.contains(&whole(name).as_str())
        || words(name).iter().any(|word| wanted.contains(&word.as_str()))
}

/// The unit that a time's name tells: "minutes", "hours", …
pub(super) fn unit_of(name: &str) -> Option<&'static str> {
    const UNITS: [(&str, &[&str]); 6] = [
        ("minutes", &["minute", "minutes", "mins"]),
        ("hours", &["hour", "hours", "hrs", "stunde", "stunden"]),
        ("days", &["day", "days", "tag", "tage", "studyday"]),
        ("weeks", &["week", "weeks"]),
        ("months", &["month", "months"]),
        ("years", &["year", "years"]),
    ];
    UNITS.iter().find(|(_, words)| has_word(name, words)).map(|(unit, _)| *unit)
}

/// A text as a TOML string on one line.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted += "\\\"",
            '\\' => quoted += "\\\\",
            '\t' => quoted += "\\t",
            '\n' => quoted += "\\n",
            '\r' => quoted += "\\r",
            c if c.is_control() => quoted += &format!("\\u{:04X}", c as u32),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A text as comments and messages show it: on one line, and not endless.
pub(super) fn shown(text: &str) -> String {
    let plain: String =
        text.chars().map(|c| if c.is_control() { '·' } else { c }).take(41).collect();
    if plain.chars().count() > 40 { plain.chars().take(40).chain(['…']).collect() } else { plain }
}

/// `1 row`, `2 rows`
pub(super) fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Names as a list in "".
pub(super) fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<String> = names
        .map(|name| match name {
            "" => "a column without a name".into(),
            name => format!("`{}`", shown(name)),
        })
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_a_column_is() {
        for name in [
            "hadm_id",
            "CombinedID",
            "RecordID",
            "uniquepid",
            "patientunitstayid",
            "case.id",
            "MRN",
            "stayid",
            "id",
            "encounter",
            "CombinedicuID",
        ] {
            assert!(is_identifier(name), "{name}");
        }
        for name in ["uric acid", "fluid", "steroid", "thyroid", "lipid", "PaO2", "covid", "bid"] {
            assert!(!is_identifier(name), "{name}");
        }
        for name in ["participant", "PTNUM", "id", "subject_id", "PatientID"] {
            assert!(patient_likeness(name) >= 0.8, "{name}");
        }
        for name in ["days", "study_day", "Timepoints", "labresultoffset", "charttime", "Time"] {
            assert!(time_likeness(name) >= 0.7, "{name}");
        }
        assert_eq!((time_likeness("sodium"), patient_likeness("sex")), (0., 0.));
        assert!(time_likeness("hr") < time_likeness("hour"));
    }

    #[test]
    fn any_text_is_a_toml_string_on_one_line() {
        for text in ["a\nb", "\"\\", "\t\u{0}\u{7f}\u{85}", "é«»"] {
            let quoted = quoted(text);
            assert!(!quoted.contains('\n'));
            let table: toml::Table = toml::from_str(&format!("x = {quoted}")).expect("TOML");
            assert_eq!(table["x"].as_str(), Some(text));
        }
    }
}
