//! The program `hg`: train, generate, evaluate, check schemas.

mod arguments;
mod built;
mod error;
mod evaluate;
mod generate;
mod interchange;
mod progress;
mod schema;
mod settings;
mod simulate;
mod train;
mod watch;

use arguments::{Arguments, Command, SchemaCommand, SimulateCommand};
use clap::Parser;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    // SAFETY: no thread has been started that could read the environment meanwhile.
    unsafe {
        // polars knows zones by name; with this it keeps those that are an offset, as +05:30.
        std::env::set_var("POLARS_IGNORE_TIMEZONE_PARSE_ERROR", "1");
    }
    keep_silent_about_reading();
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("HG_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .without_time()
        .init();
    match run(arguments.command, arguments.json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(command: Command, json: bool) -> Result<(), error::Error> {
    health_gym::training::vectors()?;
    match command {
        Command::Train(arguments) => train::run(&arguments, json),
        Command::Generate(arguments) => generate::run(&arguments, json),
        Command::Evaluate(arguments) => evaluate::run(&arguments, json),
        Command::Import(arguments) => interchange::import(&arguments),
        Command::Export { run, out } => interchange::export(&run, &out),
        Command::Watch { run } => watch::run(&run),
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

/// A panic while polars reads a file becomes a message of its own.
fn keep_silent_about_reading() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some(health_gym::data::READING) {
            usual(panic);
        }
    }));
}
