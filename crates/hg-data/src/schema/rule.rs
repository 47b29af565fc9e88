//! What holds in every row of a table.

use super::Level;
use std::fmt;

/// What holds in every row of a real table, and in every synthetic one.
///
/// ```
/// use hg_data::Rule;
///
/// let rule = Rule::parse("day <= futime")?;
/// assert_eq!(rule, Rule::parse("futime >= day")?);
/// assert_eq!(Rule::parse("`CD4 (M)` = 1 is never left")?.to_string(), "`CD4 (M)` = 1 is never left");
/// assert!(Rule::parse("day is early").is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// `lesser <= greater`, or `lesser < greater`, of two columns of numbers; one may be the time.
    Order {
        /// The column that is at most the other.
        lesser: String,
        /// The column that is at least the other.
        greater: String,
        /// Whether they are never equal.
        strict: bool,
    },
    /// A patient's numbers never fall from row to row, or never rise.
    Monotone {
        /// The column.
        column: String,
        /// Whether it may rise, and not fall.
        rises: bool,
    },
    /// A patient who has reached this level stays there.
    NeverLeft {
        /// The column.
        column: String,
        /// The level.
        level: Level,
    },
    /// Where a flag has this level, the value is that of the row before.
    Carried {
        /// The column.
        column: String,
        /// The column of the flag.
        flag: String,
        /// The flag's level.
        level: Level,
    },
}

impl Rule {
    /// A rule as the schema writes it: `a <= b` (also `<`, `>=`, `>`), `a never falls`, `a never
    /// rises`, `a = level is never left`, or `a carried when flag = level`. Names and levels with
    /// spaces stand in backticks.
    ///
    /// # Errors
    /// What it should look like.
    pub fn parse(text: &str) -> Result<Self, String> {
        let unknown = || {
            format!(
                "`{text}` is no rule\nhint: write `a <= b`, `a never falls`, `a = level is never left` or `a carried when flag = level`"
            )
        };
        let words = words(text).ok_or_else(unknown)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let order = |lesser: &str, greater: &str, strict| Self::Order {
            lesser: lesser.to_owned(),
            greater: greater.to_owned(),
            strict,
        };
        Ok(match words.as_slice() {
            [a, "<=", b] => order(a, b, false),
            [a, "<", b] => order(a, b, true),
            [a, ">=", b] => order(b, a, false),
            [a, ">", b] => order(b, a, true),
            [a, "never", "falls"] => Self::Monotone { column: (*a).to_owned(), rises: true },
            [a, "never", "rises"] => Self::Monotone { column: (*a).to_owned(), rises: false },
            [a, "=", level, "is", "never", "left"] => {
                Self::NeverLeft { column: (*a).to_owned(), level: level_of(level) }
            }
            [a, "carried", "when", flag, "=", level] => {
                let (column, flag) = ((*a).to_owned(), (*flag).to_owned());
                Self::Carried { column, flag, level: level_of(level) }
            }
            _ => return Err(unknown()),
        })
    }

    /// The columns that it is about.
    pub(crate) fn columns(&self) -> Vec<&str> {
        match self {
            Self::Order { lesser, greater, .. } => vec![lesser, greater],
            Self::Monotone { column, .. } | Self::NeverLeft { column, .. } => vec![column],
            Self::Carried { column, flag, .. } => vec![column, flag],
        }
    }
}

impl fmt::Display for Rule {
    /// As the schema writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order { lesser, greater, strict } => {
                let sign = if *strict { "<" } else { "<=" };
                write!(f, "{} {sign} {}", word(lesser), word(greater))
            }
            Self::Monotone { column, rises } => {
                write!(f, "{} never {}", word(column), if *rises { "falls" } else { "rises" })
            }
            Self::NeverLeft { column, level } => {
                write!(f, "{} = {} is never left", word(column), word(&level.to_string()))
            }
            Self::Carried { column, flag, level } => {
                let (column, flag) = (word(column), word(flag));
                write!(f, "{column} carried when {flag} = {}", word(&level.to_string()))
            }
        }
    }
}

/// The words of a rule, those in backticks whole; `None` where a backtick has no partner, or
/// there is an empty word.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut pieces = text.split('`');
    loop {
        words.extend(pieces.next()?.split_whitespace().map(str::to_owned));
        let Some(quoted) = pieces.next() else { return Some(words) };
        if quoted.is_empty() {
            return None;
        }
        words.push(quoted.to_owned());
    }
}

/// A name or a level as one word of a rule.
fn word(text: &str) -> String {
    let is_sign = matches!(text, "<" | "<=" | ">" | ">=" | "=");
    match is_sign || text.contains(char::is_whitespace) {
        true => format!("`{text}`"),
        false => text.to_owned(),
    }
}

/// A level: a number or a truth where it is written as one.
fn level_of(word: &str) -> Level {
    if let Ok(integer) = word.parse() {
        return Level::Integer(integer);
    }
    match (word, word.parse::<f64>()) {
        ("true", _) => Level::Truth(true),
        ("false", _) => Level::Truth(false),
        (_, Ok(number)) if number.is_finite() => Level::Real(number),
        _ => Level::Text(word.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_written_as_it_is_read() {
        for text in [
            "day <= futime",
            "dbp < sbp",
            "`dose so far` never falls",
            "x never rises",
            "status = 2 is never left",
            "stage = `IV b` is never left",
            "VL carried when `VL (M)` = false",
        ] {
            let rule = Rule::parse(text).expect("a rule");
            assert_eq!(rule.to_string(), text);
        }
        assert_eq!(Rule::parse("sbp > dbp"), Rule::parse("dbp < sbp"));
    }

    #[test]
    fn what_is_no_rule_is_said_to_be_none() {
        for text in ["", "a", "a <= ", "a <= b c", "`a <= b", "`` <= b", "a is never left"] {
            let problem = Rule::parse(text).expect_err("refused");
            assert!(problem.starts_with(&format!("`{text}` is no rule\nhint: ")), "{problem}");
        }
    }
}
