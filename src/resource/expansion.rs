//! Words of a container's command as the kubelet expands them: `$(NAME)` is a variable of the container, `$$` a dollar sign
//! (`k8s.io/kubernetes/third_party/forked/golang/expansion`).

/// Whether words that a container runs are these, whatever its variables say: their values may be known to the kubelet alone.
#[must_use]
pub fn is_expanded(wanted: &[String], runs: &[String]) -> bool {
    wanted.len() == runs.len() && wanted.iter().zip(runs).all(|(wanted, runs)| is_word(wanted, runs))
}

fn is_word(wanted: &str, runs: &str) -> bool {
    if !wanted.contains('$') {
        return wanted == runs;
    }
    let parts = fixed(wanted);
    let [first, between @ .., last] = parts.as_slice() else { return parts.concat() == runs };
    let Some(rest) = runs.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str())) else {
        return false;
    };
    // Each at its first place leaves the most for those after it.
    between.iter().try_fold(rest, |rest, part| rest.split_once(part.as_str()).map(|(_, rest)| rest)).is_some()
}

/// What stands before, between and after the variables of a word.
fn fixed(word: &str) -> Vec<String> {
    let (mut parts, mut part, mut rest) = (Vec::new(), String::new(), word);
    while let Some((before, after)) = rest.split_once('$') {
        part.push_str(before);
        rest = if let Some((_, after)) = after.strip_prefix('(').and_then(|named| named.split_once(')')) {
            parts.push(std::mem::take(&mut part));
            after
        } else {
            part.push('$');
            after.strip_prefix('$').unwrap_or(after)
        };
    }
    part.push_str(rest);
    parts.push(part);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_what_it_says_but_for_its_variables() {
        let urls = "--listen-metrics-urls=http://127.0.0.1:2381,http://$(POD_IP):2381";
        for (wanted, runs, same) in [
            ("--v=2", "--v=2", true),
            ("--v=2", "--v=20", false),
            (urls, "--listen-metrics-urls=http://127.0.0.1:2381,http://192.0.2.1:2381", true),
            (urls, "--listen-metrics-urls=http://127.0.0.1:2381,http://$(POD_IP):2381", true),
            (urls, "--listen-metrics-urls=http://127.0.0.1:2381", false),
            (urls, "--listen-metrics-urls=http://127.0.0.1:2381,http://192.0.2.1:2382", false),
            ("$(A)-$(B)-$(C)", "1-2-3", true),
            ("$(A)-$(B)-$(C)", "1-23", false),
            ("a$(A)a", "a", false),
            ("$$(A)", "$(A)", true),
            ("$$(A)", "1", false),
            ("$$$(A)", "$1", true),
            ("a$b$", "a$b$", true),
            ("$(A", "$(A", true),
        ] {
            assert_eq!(is_word(wanted, runs), same, "{wanted} {runs}");
        }
    }

    #[test]
    fn no_word_may_be_missing() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(is_expanded(&words("etcd $(A)"), &words("etcd 1")));
        assert!(!is_expanded(&words("etcd $(A)"), &words("etcd 1 2")));
        assert!(!is_expanded(&words("etcd $(A)"), &words("etcd")));
    }
}
