use serde_json::json;

use super::*;

/// Each text is what `sigs.k8s.io/yaml` writes for it as the value of a key.
#[test]
fn a_text_is_quoted_where_kubernetes_quotes_it() {
    for plain in
        ["a b", "a:b", "a#b", "--flag=value", "::1", "10.0.0.1", "0s", "500m", "1.5.1", "=", "nullx", "08:x", "é"]
    {
        assert_eq!(to_string(&json!({ "k": plain })), format!("k: {plain}\n"));
    }
    for double in [
        "",
        "y",
        "No",
        "off",
        "true",
        "~",
        "null",
        "0",
        "01",
        "0o7",
        "0x1F",
        "1_000",
        "+1",
        "1e3",
        ".5",
        "-.inf",
        "1:30",
        "2001-01-01",
        "2001-12-14t21:59:43.10-05:00",
    ] {
        assert_eq!(to_string(&json!({ "k": double })), format!("k: \"{double}\"\n"));
    }
    for single in
        ["-", "- a", "---", "a: b", "a:", "a #b", "#a", "[a]", "*", "@a", "!a", " a", "a ", "? a", "\"a", "%a"]
    {
        assert_eq!(to_string(&json!({ "k": single })), format!("k: '{single}'\n"));
    }
    assert_eq!(to_string(&json!({ "k": "'a" })), "k: '''a'\n");
    assert_eq!(to_string(&json!({ "k": "a\tb\\\"\u{1b}\u{1f600}" })), "k: \"a\\tb\\\\\\\"\\e\\U0001F600\"\n");
}

#[test]
fn lines_stand_as_literal_text_with_their_end_marked() {
    assert_eq!(to_string(&json!({ "k": "a\nb" })), "k: |-\n  a\n  b\n");
    assert_eq!(to_string(&json!({ "k": "a\n\nb\n" })), "k: |\n  a\n\n  b\n");
    assert_eq!(to_string(&json!({ "k": "a\n\n" })), "k: |+\n  a\n\n");
    assert_eq!(to_string(&json!([" a\nb"])), "- |2-\n   a\n  b\n");
    assert_eq!(to_string(&json!({ "k": "a \nb" })), "k: \"a \\nb\"\n");
}

#[test]
fn a_long_text_is_folded_beyond_column_eighty() {
    let text = "word ".repeat(20);
    let want = format!("k: {}\n  {}\n", "word ".repeat(16).trim_end(), "word ".repeat(4).trim_end());
    assert_eq!(to_string(&json!({ "k": text.trim_end() })), want);
    assert_eq!(parse(&want), Ok(json!({ "k": text.trim_end() })));
}

#[test]
fn structure_is_that_of_kubernetes() {
    let value = json!({ "b": [1, { "x": [], "y": { "z": null } }, [[2]]], "a10": 1.0, "a9": {}, "a-b": true, "a": 0.00001, "B": 1e22 });
    let want = "B: 1e+22\na: 1e-05\na-b: true\na9: {}\na10: 1\nb:\n- 1\n- x: []\n  \"y\":\n    z: null\n- - - 2\n";
    assert_eq!(to_string(&value), want);
    let key = "k".repeat(129);
    assert_eq!(to_string(&json!({ key.as_str(): [1] })), format!("? {key}\n: - 1\n"));
}

#[test]
fn what_go_takes_for_a_boolean_or_a_number_is_one() {
    let text = "a: yes\nb: off\nc: 0755\nd: 0x10\ne: \"0755\"\nf: 1.5\ng:\n";
    let want = json!({ "a": true, "b": false, "c": 0o755, "d": 16, "e": "0755", "f": 1.5, "g": null });
    assert_eq!(parse(text), Ok(want));
    assert_eq!(parse(""), Ok(Value::Null));
    assert_eq!(parse_all("a: 1\n---\n---\nb: 2\n"), Ok(vec![json!({ "a": 1 }), json!({ "b": 2 })]));
}

#[test]
fn what_no_manifest_needs_is_refused() {
    let bomb = (1..9).fold("a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned(), |text, n| {
        let aliases = vec![format!("*a{}", n - 1); 8].join(", ");
        format!("{text}a{n}: &a{n} [{aliases}]\n")
    });
    let many = "---\na: 1\n".repeat(100);
    for text in [bomb, "[".repeat(1000), many, "a: 1\na: 2\n".to_owned(), "x".repeat(2 << 20), "a: *b".to_owned()] {
        assert!(parse_all(&text).is_err(), "{text:.40}");
    }
    assert!(parse("a: 1\n---\nb: 2\n").is_err());
}
