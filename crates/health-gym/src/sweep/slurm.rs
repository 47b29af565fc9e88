//! Which share of a sweep a task of a Slurm array does.

use crate::Result;
use hg_train::{Error, Shard};

const ID: &str = "SLURM_ARRAY_TASK_ID";
const COUNT: &str = "SLURM_ARRAY_TASK_COUNT";
const ENDS: [&str; 2] = ["SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX"];

/// The share of the work that falls to this task of a Slurm array, whatever number the array begins with,
/// by the variables of the environment; `None` outside of an array.
///
/// # Errors
/// [`Error::Config`] where the array leaves numbers out, so that its tasks cannot be counted through, or a
/// variable is missing.
pub fn slurm_task(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Shard>> {
    if variable(ID).is_none() {
        return Ok(None);
    }
    let number = |name: &str| -> Result<usize> {
        let text = variable(name);
        let number = text.as_ref().and_then(|text| text.trim().parse().ok());
        Ok(number.ok_or_else(|| {
            let is = text.map_or("not set".into(), |text| format!("`{text}`, which is no number"));
            Error::Config(format!(
                "this is a task of a Slurm array ({ID} is set), but {name} is {is}\nhint: say which task it is with \
                 `--task i/n`"
            ))
        })?)
    };
    let (id, count) = (number(ID)?, number(COUNT)?);
    let [least, greatest] = [number(ENDS[0])?, number(ENDS[1])?];
    let is_sound = (least..=greatest).contains(&id) && greatest - least == count.wrapping_sub(1);
    if !is_sound {
        return Err(Error::Config(format!(
            "the Slurm array leaves numbers out: {count} tasks from {least} to {greatest}\nhint: use all numbers, as \
             `--array=1-{count}`, or say which task it is with `--task i/n`"
        ))
        .into());
    }
    Ok(Some(Shard::new(id - least + 1, count)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(id: &str, [count, least, greatest]: [&str; 3]) -> std::result::Result<String, String> {
        let of = [(ID, id), (COUNT, count), (ENDS[0], least), (ENDS[1], greatest)];
        let variable = |name: &str| {
            let found = of.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned()).filter(|value| !value.is_empty())
        };
        let task = slurm_task(variable).map_err(|error| error.to_string())?;
        Ok(task.map_or("none".into(), |task| task.to_string()))
    }

    #[test]
    fn an_array_may_begin_with_any_number() {
        assert_eq!(task("", ["", "", ""]), Ok("none".into()));
        assert_eq!(task("0", ["4", "0", "3"]), Ok("1/4".into()));
        assert_eq!(task("3", ["4", "0", "3"]), Ok("4/4".into()));
        assert_eq!(task("1", ["4", "1", "4"]), Ok("1/4".into()));
        assert_eq!(task("4", ["4", "1", "4"]), Ok("4/4".into()));
        assert_eq!(task("7", ["1", "7", "7"]), Ok("1/1".into()));
    }

    #[test]
    fn an_array_that_leaves_numbers_out_is_refused() {
        for (id, array) in [("3", ["4", "1", "7"]), ("9", ["4", "1", "4"]), ("1", ["0", "1", "1"])]
        {
            let said = task(id, array);
            assert!(said.is_err_and(|said| said.starts_with("the Slurm array leaves numbers out")));
        }
        let said = task("1", ["4", "", "4"]);
        assert!(said.is_err_and(|said| said.contains("SLURM_ARRAY_TASK_MIN is not set")));
        let said = task("1", ["x", "1", "4"]);
        assert!(said.is_err_and(|said| said.contains("SLURM_ARRAY_TASK_COUNT is `x`")));
    }
}
