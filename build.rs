//! How the program is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // At fixed addresses, as Kubernetes' own programs are. Otherwise the loader writes some 11,500 addresses into the program's data when it
    // starts, from a table of 270 KiB, and a watch has both in memory all the time.
    println!("cargo::rustc-link-arg-bins=-no-pie");
}
