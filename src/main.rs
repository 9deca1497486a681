//! The plugin: `oc imagepolicy`. Everything is in the library; see [`oc_imagepolicy::commands`].

fn main() -> std::process::ExitCode {
    oc_imagepolicy::commands::main()
}
