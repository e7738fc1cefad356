//! Embeds the templates anew when a file is added to them: `include_dir!` notices changed files only.

#[allow(clippy::print_stdout)]
fn main() {
    println!("cargo:rerun-if-changed=templates");
    println!("cargo:rerun-if-changed=build.rs");
}
