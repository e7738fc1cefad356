//! Calls [`msctl::run`] and exits with its code.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(msctl::run(std::env::args_os()))
}
