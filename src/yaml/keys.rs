//! The order of a mapping's keys as `go-yaml` writes them: numbers in keys count as numbers, `a2` before `a10`.

use serde_json::{Map, Value};

/// The fields of an object in that order.
pub(super) fn sorted(fields: &Map<String, Value>) -> Vec<(&String, &Value)> {
    // Most keys are letters alone, which the map keeps in this order already.
    if fields.keys().all(|key| key.bytes().all(|byte| byte.is_ascii_alphabetic())) {
        return fields.iter().collect();
    }
    // By insertion: the library's order is not transitive for some odd keys, which std's sort may answer with a panic.
    let mut sorted: Vec<(&String, &Value)> = Vec::with_capacity(fields.len());
    for (key, value) in fields {
        let at = sorted.partition_point(|(earlier, _)| comes_before(earlier, key));
        sorted.insert(at, (key, value));
    }
    sorted
}

fn comes_before(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = a.iter().zip(&b).position(|(a, b)| a != b) else { return a.len() < b.len() };
    match (a[at].is_alphabetic(), b[at].is_alphabetic()) {
        (true, true) => a[at] < b[at],
        (false, true) => true,
        (true, false) => false,
        (false, false) => {
            let after_number = (a[at] == '0' || b[at] == '0') && in_number(&a[..at]);
            let (x, y) = (number(&a[at..], after_number), number(&b[at..], after_number));
            if x == y { a[at] < b[at] } else { x < y }
        }
    }
}

/// Whether a number that is not all zeros ends here.
fn in_number(before: &[char]) -> bool {
    before.iter().rev().take_while(|c| c.is_ascii_digit()).any(|c| *c != '0')
}

/// The number at the front, wrapped into 64 bits as in Go, and how long it is. A leading one keeps zeros apart where
/// they are part of a longer number.
fn number(text: &[char], leading_one: bool) -> (i64, usize) {
    let digits = text.iter().map_while(|c| c.to_digit(10));
    digits.fold((i64::from(leading_one), 0), |(value, length), digit| {
        (value.wrapping_mul(10).wrapping_add(i64::from(digit)), length + 1)
    })
}
