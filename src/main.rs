//! The command `planekeeper`.

use std::process::ExitCode;

fn main() -> ExitCode {
    planekeeper::cli::main()
}
