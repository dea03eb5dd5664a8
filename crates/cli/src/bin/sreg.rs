//! `sreg`: the same as `kubectl secureregistry`, for where there is no kubectl.

use std::process::ExitCode;

fn main() -> ExitCode {
    sreg_cli::main("sreg")
}
