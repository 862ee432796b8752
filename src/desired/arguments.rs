//! Command lines of components: kubeadm's own flags, and the user's over them.

use crate::cluster::Arg;

/// A flag.
#[must_use]
pub fn arg(name: &str, value: impl Into<String>) -> Arg {
    Arg { name: name.to_owned(), value: value.into() }
}

/// The flags as kubeadm writes them: its own, sorted by name, without those that the user sets; then the user's, in their
/// order, a flag that is given twice included.
#[must_use]
pub fn flags(mut base: Vec<Arg>, overrides: &[Arg]) -> Vec<String> {
    base.sort_by(|a, b| (&a.name, &a.value).cmp(&(&b.name, &b.value)));
    base.retain(|arg| last(overrides, &arg.name).is_none());
    base.iter().chain(overrides).map(|arg| format!("--{}={}", arg.name, arg.value)).collect()
}

/// A program and its flags.
#[must_use]
pub fn command(program: &str, base: Vec<Arg>, overrides: &[Arg]) -> Vec<String> {
    let mut command = vec![program.to_owned()];
    command.extend(flags(base, overrides));
    command
}

/// The value of a flag; where it is given twice, the last one's, which is the one that counts.
#[must_use]
pub fn last<'a>(args: &'a [Arg], name: &str) -> Option<&'a str> {
    args.iter().rev().find(|arg| arg.name == name).map(|arg| arg.value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_sets_replaces_kubeadms_flag_and_goes_to_the_end() {
        let base = vec![arg("secure-port", "6443"), arg("allow-privileged", "true"), arg("bind-address", "127.0.0.1")];
        let user = [arg("v", "2"), arg("bind-address", "::"), arg("v", "4")];
        assert_eq!(
            command("program", base, &user),
            ["program", "--allow-privileged=true", "--secure-port=6443", "--v=2", "--bind-address=::", "--v=4"]
        );
        assert_eq!(last(&user, "v"), Some("4"));
        assert_eq!(last(&user, "bind"), None);
    }
}
