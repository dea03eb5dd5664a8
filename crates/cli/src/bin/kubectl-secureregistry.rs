//! `kubectl secureregistry`: kubectl finds a plugin by this name.

use std::process::ExitCode;

fn main() -> ExitCode {
    sreg_cli::main("kubectl secureregistry")
}
