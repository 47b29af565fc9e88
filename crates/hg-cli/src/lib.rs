//! The program `hg`: train, generate, evaluate, check schemas. It is a library too, so that the Python
//! package brings the program without a second copy of everything below.

mod arguments;
mod built;
mod error;
mod evaluate;
mod generate;
mod interchange;
mod progress;
mod ranks;
mod release;
mod schema;
mod settings;
mod signals;
mod simulate;
mod sweep;
mod train;
mod watch;

use arguments::{Arguments, Command, SchemaCommand, SimulateCommand};
use clap::Parser;
use health_gym::training::Ranks;
use std::ffi::OsString;
use tracing_subscriber::EnvFilter;

/// Runs the program with these arguments, the first of which is its name; gives its exit code.
///
/// # Safety
/// No other thread may read the environment meanwhile: it is to be the first that a process does.
pub unsafe fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    // SAFETY: the caller's.
    unsafe { run_on_ranks(arguments, &Ranks::default()) }
}

/// As [`run`], on one of several ranks that make this call with the same arguments: they train together, and
/// rank 0 alone speaks.
///
/// # Safety
/// As [`run`].
pub unsafe fn run_on_ranks(arguments: impl IntoIterator<Item = OsString>, ranks: &Ranks) -> u8 {
    // SAFETY: the caller's.
    unsafe {
        // polars knows zones by name; with this it keeps those that are an offset, as +05:30.
        std::env::set_var("POLARS_IGNORE_TIMEZONE_PARSE_ERROR", "1");
    }
    health_gym::data::keep_silent_about_reading();
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            if ranks.is_first() {
                // There is nobody else to tell it to.
                let _ = error.print();
            }
            return error.exit_code() as u8;
        }
    };
    let usual = if ranks.is_first() { "info" } else { "error" };
    let filter = EnvFilter::try_from_env("HG_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .without_time()
        .init();
    match execute(arguments.command, arguments.json, ranks) {
        Ok(()) => 0,
        Err(error) => {
            if ranks.is_first() || !error.is_of_all_ranks() {
                eprintln!("error: {error}");
            }
            error.exit_code()
        }
    }
}

fn execute(command: Command, json: bool, ranks: &Ranks) -> Result<(), error::Error> {
    health_gym::training::vectors()?;
    if !ranks.is_alone() && !matches!(command, Command::Train(_)) {
        let problem = "several processes can only train together\nhint: for the rest there is `hg`";
        return Err(health_gym::training::Error::Config(problem.into()).into());
    }
    match command {
        Command::Train(arguments) => train::run(&arguments, json, ranks),
        Command::Generate(arguments) => generate::run(&arguments, json),
        Command::Evaluate(arguments) => evaluate::run(&arguments, json),
        Command::Release(arguments) => release::run(&arguments, json),
        Command::Import(arguments) => interchange::import(&arguments),
        Command::Export { run, out } => interchange::export(&run, &out),
        Command::Watch { run } => watch::run(&run),
        Command::Sweep(arguments) => sweep::run(&arguments, json),
        Command::Encode { table, schema, out } => interchange::encode(&table, &schema, &out, json),
        Command::Decode { encoded, encoder, out, seed } => {
            interchange::decode(&encoded, &encoder, &out, seed, json)
        }
        Command::Simulate(SimulateCommand::ArtForHiv(arguments)) => {
            simulate::art_for_hiv(&arguments, json)
        }
        Command::Schema(SchemaCommand::Check { schema, table }) => {
            schema::check(&schema, table.as_deref(), json)
        }
        Command::Schema(SchemaCommand::Infer(arguments)) => schema::infer(&arguments),
        Command::Schema(SchemaCommand::Json) => {
            print!("{}", health_gym::data::json_schema());
            Ok(())
        }
    }
}
