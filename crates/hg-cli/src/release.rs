//! `hg release`.

use crate::arguments::ReleaseArguments;
use crate::error::Result;
use health_gym::{ReleaseOptions, Run, release};

pub(crate) fn run(arguments: &ReleaseArguments, json: bool) -> Result<()> {
    let ReleaseArguments { run, out, license, despite_privacy } = arguments;
    let options = ReleaseOptions { license: license.clone(), despite_privacy: *despite_privacy };
    let released = release(&Run::open(run)?, out, &options)?;
    if json {
        println!("{}", serde_json::json!({"out": out, "files": released.files}));
    } else {
        println!("{}", out.display());
    }
    Ok(())
}
