//! The command line: arguments in, text or JSON out, exit codes.

pub mod arguments;
pub mod configuration;
pub mod exit;
pub mod images;
pub mod join;
pub mod json;
pub mod output;
pub mod place;
pub mod preflight;
pub mod progress;
pub mod reset;
pub mod run;
pub mod status;
pub mod telling;
pub mod text;
pub mod watch;

use std::process::ExitCode;

use clap::CommandFactory;

use arguments::{Arguments, CertsCommand, Command, ConfigCommand, Format, ImagesCommand};
use exit::{Exit, Failure};

/// Runs the command that the process was called with.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(error) => {
            // clap would leave with 2, which `plan --detailed-exitcode` means something else by.
            let asked = !error.use_stderr();
            let _ = error.print();
            return if asked { Exit::Done } else { Exit::WrongCall }.into();
        }
    };
    match dispatch(&arguments) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::error(&failure.message);
            if arguments.output == Format::Json {
                let _ = output::print_json(&json::failure(&failure));
            }
            failure.exit.into()
        }
    }
}

fn dispatch(arguments: &Arguments) -> Result<Exit, Failure> {
    let config = arguments.config.as_path();
    let format = arguments.output;
    match &arguments.command {
        Command::Reconcile(arguments) => run::reconcile(config, arguments, format),
        Command::Watch(arguments) => watch::watch(config, arguments),
        Command::Reset { force } => reset::reset(config, *force, format),
        Command::Plan { place, ignoring, detailed_exitcode } => {
            run::plan(config, place, ignoring, format, *detailed_exitcode)
        }
        Command::Preflight(ignoring) => preflight::preflight(config, ignoring, format),
        Command::Status(arguments) => status::status(arguments, format),
        Command::Pause(arguments) => status::pause(arguments, format),
        Command::Resume(place) => status::resume(place, format),
        Command::Config(ConfigCommand::Print) => configuration::print(config, format),
        Command::Config(ConfigCommand::Validate) => configuration::validate(config, format),
        Command::Config(ConfigCommand::Migrate) => configuration::migrate(config, format),
        Command::Images(ImagesCommand::List) => images::list(config, format),
        Command::Images(ImagesCommand::Check) => images::check(config, format),
        Command::Images(ImagesCommand::Pull) => images::pull(config, format),
        Command::Certs(CertsCommand::List(place)) => run::certs(config, place, format),
        Command::JoinCommand(arguments) => join::command(config, arguments, format),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "planekeeper", &mut script);
            output::print(&String::from_utf8_lossy(&script))?;
            Ok(Exit::Done)
        }
    }
}
