//! Quantities of resources (`k8s.io/apimachinery/pkg/api/resource`): the one spelling that Kubernetes writes back for each.
//!
//! `1024Mi` comes back as `1Gi`, `0.5` as `500m`, `1000m` as `1`. What Kubernetes takes for canonical is kept as it was
//! written, which includes a few spellings that are not: `+1` and `007`.

use serde_json::{Number, Value};

/// The exponent of the smallest amount: smaller ones are rounded away from zero to it.
const NANO: i32 = -9;
/// Decimal digits that always fit in an `i64`.
const SAFE_DIGITS: i32 = 18;
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// How the unit is written; the amount comes back in the same way where that loses nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// `k`, `M`: a power of ten.
    Decimal(i32),
    /// `e3`: a power of ten.
    Exponent(i32),
    /// `Ki`, `Mi`: a power of two.
    Binary(u8),
}

/// A quantity in its parts.
struct Written<'a> {
    negative: bool,
    /// Digits before the point, without leading zeros but for a single one.
    whole: &'a str,
    /// Digits after the point.
    fraction: &'a str,
    unit: Unit,
}

/// An amount: `mantissa` times ten to the power of `exponent`.
#[derive(Clone, Copy)]
struct Amount {
    negative: bool,
    mantissa: u128,
    exponent: i32,
}

/// A quantity as Kubernetes writes it.
///
/// # Errors
/// The text is no quantity, or one that Kubernetes cannot hold.
pub fn canonical(text: &str) -> Result<String, String> {
    let text = text.trim_matches([' ', '\t', '\n', '\r']);
    let written = Written::parse(text)
        .ok_or_else(|| format!("{text:?} is not a quantity: write a number and a unit, such as 500m, 2 or 64Mi"))?;
    if written.is_canonical() {
        return Ok(text.to_owned());
    }
    let too_large = || format!("{text:?} is more than a quantity can hold");
    let amount = written.amount().ok_or_else(too_large)?;
    amount.write(written.unit).ok_or_else(too_large)
}

/// A quantity in JSON, text or number, as Kubernetes writes it.
///
/// # Errors
/// The value is no quantity.
pub fn canonical_value(value: &Value) -> Result<String, String> {
    match value {
        Value::Null => Ok("0".to_owned()),
        Value::String(text) => canonical(text),
        Value::Number(number) => canonical(&number_text(number)),
        _ => Err("is not a quantity: write a text such as 64Mi".to_owned()),
    }
}

/// A number as Go's JSON encoder writes it: with an exponent only where it is very large or small.
fn number_text(number: &Number) -> String {
    match number.as_f64().filter(|_| number.is_f64()) {
        None => number.to_string(),
        Some(float) if float != 0.0 && !(1e-6..1e21).contains(&float.abs()) => format!("{float:e}"),
        Some(float) => float.to_string(),
    }
}

impl<'a> Written<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let negative = text.starts_with('-');
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (whole, rest) = digits(unsigned);
        let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), digits);
        let whole = whole.trim_start_matches('0');
        let unit = Unit::parse(rest)?;
        Some(Self { negative, whole: if whole.is_empty() { "0" } else { whole }, fraction, unit })
    }

    /// Whether Kubernetes keeps the text: it looks at no more than what its fast way of reading needs.
    fn is_canonical(&self) -> bool {
        let Some(value) = self.small_value() else { return false };
        match self.unit {
            Unit::Binary(_) => value % 8 != 0,
            Unit::Decimal(exponent) | Unit::Exponent(exponent) => {
                let digits = format!("{}{}", self.whole, self.fraction);
                let scale = exponent - length(self.fraction);
                scale >= NANO && scale % 3 == 0 && !digits.ends_with("000") && !digits.starts_with('0')
            }
        }
    }

    /// The digits as one number, where the whole amount surely fits in an `i64`.
    fn small_value(&self) -> Option<i64> {
        let free = match self.unit {
            Unit::Decimal(_) | Unit::Exponent(_) => SAFE_DIGITS - length(self.whole) - length(self.fraction),
            Unit::Binary(_) if !self.fraction.is_empty() => return None,
            Unit::Binary(power) => 14 - length(self.whole) - i32::from(power) * 3 / 10,
        };
        let value: i64 = format!("{}{}", self.whole, self.fraction).parse().ok().filter(|_| free >= 0)?;
        match self.unit {
            Unit::Binary(power) => value.checked_mul(1_i64.checked_shl(u32::from(power))?).map(|_| value),
            _ => Some(value),
        }
    }

    fn amount(&self) -> Option<Amount> {
        let mut mantissa: u128 = format!("{}{}", self.whole, self.fraction).parse().ok()?;
        let mut exponent = 0_i32.checked_sub(length(self.fraction))?;
        match self.unit {
            Unit::Decimal(power) | Unit::Exponent(power) => exponent = exponent.checked_add(power)?,
            Unit::Binary(power) => mantissa = mantissa.checked_mul(1_u128 << power)?,
        }
        if exponent < NANO {
            let power = NANO.checked_sub(exponent)?.unsigned_abs();
            mantissa = 10_u128.checked_pow(power).map_or_else(|| mantissa.min(1), |divisor| mantissa.div_ceil(divisor));
            exponent = NANO;
        }
        Some(Amount { negative: self.negative, mantissa, exponent }.capped(self.unit))
    }
}

impl Amount {
    /// Binary amounts end at the largest `i64`.
    fn capped(self, unit: Unit) -> Self {
        let most = i64::MAX.unsigned_abs().into();
        let beyond = self.exponent <= 0
            && 10_u128.checked_pow(self.exponent.unsigned_abs()).is_some_and(|one| self.mantissa / one >= most);
        if beyond && matches!(unit, Unit::Binary(_)) { Self { mantissa: most, exponent: 0, ..self } } else { self }
    }

    fn write(self, unit: Unit) -> Option<String> {
        if self.mantissa == 0 {
            return Some("0".to_owned());
        }
        let sign = if self.negative { "-" } else { "" };
        // A binary amount below 1Ki, or with a fraction, is written as a decimal one: nothing is to be rounded.
        if let Some(mut whole) = self.whole().filter(|whole| matches!(unit, Unit::Binary(_)) && *whole >= 1024) {
            let mut power = 0;
            while whole % 1024 == 0 {
                (whole, power) = (whole / 1024, power + 1);
            }
            return BINARY.get(power).map(|unit| format!("{sign}{whole}{unit}"));
        }
        let (mut mantissa, mut exponent) = (self.mantissa, self.exponent);
        while mantissa % 10 == 0 {
            (mantissa, exponent) = (mantissa / 10, exponent.checked_add(1)?);
        }
        while exponent % 3 != 0 {
            (mantissa, exponent) = (mantissa.checked_mul(10)?, exponent.checked_sub(1)?);
        }
        match unit {
            Unit::Exponent(_) if exponent == 0 => Some(format!("{sign}{mantissa}")),
            Unit::Exponent(_) => Some(format!("{sign}{mantissa}e{exponent}")),
            _ => {
                let (unit, _) = DECIMAL.iter().find(|(_, power)| *power == exponent)?;
                Some(format!("{sign}{mantissa}{unit}"))
            }
        }
    }

    /// The amount, where it has no fraction.
    fn whole(self) -> Option<u128> {
        let one = 10_u128.checked_pow(self.exponent.unsigned_abs())?;
        if self.exponent >= 0 {
            return self.mantissa.checked_mul(one);
        }
        self.mantissa.is_multiple_of(one).then(|| self.mantissa / one)
    }
}

impl Unit {
    fn parse(text: &str) -> Option<Self> {
        if let Some((_, power)) = DECIMAL.iter().find(|(unit, _)| *unit == text) {
            return Some(Self::Decimal(*power));
        }
        if let Some(at) = BINARY.iter().position(|unit| *unit == text) {
            return u8::try_from(at * 10).ok().map(Self::Binary);
        }
        text.strip_prefix(['e', 'E'])?.parse().ok().map(Self::Exponent)
    }
}

/// The digits at the start, and the rest.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// The length as a number to count with; a text that long is no quantity.
fn length(text: &str) -> i32 {
    i32::try_from(text.len()).unwrap_or(i32::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `resource.Quantity` of apimachinery v0.37 makes of each.
    #[rustfmt::skip]
    const CANONICAL: &[(&str, &str)] = &[
        ("0", "0"), ("00", "0"), ("-0", "0"), ("+0", "0"), ("0.0", "0"), ("1", "1"), ("+1", "+1"), ("-1", "-1"),
        ("007", "007"), ("10", "10"), ("100", "100"), ("1000", "1k"), ("1500", "1500"), ("1000m", "1"),
        ("1500m", "1500m"), ("100m", "100m"), ("0100m", "0100m"), ("0.1", "100m"), ("0.5", "500m"), (".5", "500m"),
        ("1.", "1."), ("1.0", "1"), ("1.5", "1500m"), ("1.50", "1500m"), ("0.500", "500m"), ("2.000", "2"),
        ("1.0001", "1000100u"), ("1.00000001", "1000000010n"), ("0.0000000001", "1n"), ("-0.0000000001", "-1n"),
        ("1n", "1n"), ("1u", "1u"), ("1000u", "1m"), ("999999n", "999999n"), ("1k", "1k"), ("1000k", "1M"),
        ("1.5k", "1500"), ("1M", "1M"), ("0.001M", "1k"), ("1G", "1G"), ("1.234567G", "1.234567G"), ("1T", "1T"),
        ("1P", "1P"), ("1E", "1E"), ("9E", "9E"), ("10E", "10E"), ("999E", "999E"), ("1Ki", "1Ki"), ("1024", "1024"),
        ("1024Ki", "1Mi"), ("1000Ki", "1000Ki"), ("100Ki", "100Ki"), ("512Ki", "512Ki"), ("0.5Ki", "512"),
        ("0.5Mi", "512Ki"), ("1.5Ki", "1536"), ("1.1Ki", "1126400m"), ("1.5Gi", "1536Mi"), ("0.1Gi", "107374182400m"),
        ("1Mi", "1Mi"), ("1024Mi", "1Gi"), ("1124Mi", "1124Mi"), ("1125Mi", "1125Mi"), ("2048Mi", "2Gi"),
        ("1Gi", "1Gi"), ("1025Gi", "1025Gi"), ("1Ti", "1Ti"), ("1024Ti", "1Pi"), ("10Ti", "10Ti"), ("1Pi", "1Pi"),
        ("1024Pi", "1Ei"), ("1Ei", "1Ei"), ("7Ei", "7Ei"), ("8Ei", "9223372036854775807"),
        ("16Ei", "9223372036854775807"), ("+8Mi", "8Mi"), ("+9Mi", "+9Mi"), ("008Mi", "8Mi"), ("009Mi", "009Mi"),
        ("-1Ki", "-1Ki"), ("-1024Mi", "-1Gi"), ("0Mi", "0"), ("0.0Gi", "0"), ("1e0", "1e0"), ("1e1", "10"),
        ("1e2", "100"), ("1e3", "1e3"), ("1E3", "1E3"), ("12e6", "12e6"), ("12E6", "12E6"), ("1e-3", "1e-3"),
        ("1e-9", "1e-9"), ("1e-10", "1e-9"), ("1.5e3", "1500"), ("1e+3", "1e+3"), ("1000e3", "1e6"), ("0.001e3", "1"),
        ("100e100", "1e102"), ("1e21", "1e21"), ("123456789012345678", "123456789012345678"),
        ("1234567890123456789", "1234567890123456789"), ("100000000000000000000", "100E"),
        ("12345678901234567890123", "12345678901234567890123"), ("1e18", "1e18"), ("5e17", "500e15"),
        ("64Mi", "64Mi"), ("70Mi", "70Mi"), ("170Mi", "170Mi"), ("250m", "250m"), ("200m", "200m"),
        ("300Mi", "300Mi"), (".", "0"), ("-", "0"), ("+", "0"), (".Mi", "0"), ("1.Mi", "1.Mi"), ("1.m", "1.m"),
        ("123456789.123456789", "123456789.123456789"), ("0.123456789123", "123456790n"), ("3.3Ki", "3379200m"),
        ("1048576", "1048576"), ("1048576k", "1048576k"), ("4096Pi", "4Ei"), ("100000Gi", "100000Gi"),
        ("99999999999Ki", "99999999999Ki"), ("123456789123456Ki", "123456789123456Ki"), ("2092Pi", "2092Pi"),
        ("3119Mi", "3119Mi"), ("589.k", "589.k"), ("2369Ki", "2369Ki"), ("34578e12", "34578e12"),
        ("2649088", "2649088"), ("+3514368E5", "351436800e3"), ("62036153e-2", "620361530e-3"), ("55T", "55T"),
        ("17Pi", "17Pi"), ("397e+1", "3970"), ("81m", "81m"), ("3390.249894Pi", "3817082039827815890681856u"),
        ("2384n", "2384n"), ("78989610187908398Ki", "9223372036854775807"),
    ];
    const WRONG: &[&str] = &[
        "1e9Ki",
        "abc",
        "1kk",
        "1Kii",
        "1ki",
        "1K",
        "1mi",
        "1.2.3",
        "1,5",
        "--",
        "+-1",
        "1e",
        "1E+",
        "1i",
        "1Mi5",
        "1_000",
        "0x10",
        "1e99999999999999999999",
    ];

    #[test]
    fn a_quantity_comes_back_as_kubernetes_writes_it() {
        for (text, expected) in CANONICAL {
            assert_eq!(canonical(text).as_deref(), Ok(*expected), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in WRONG {
            assert!(canonical(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_number_is_a_quantity_too() {
        let written = |value: Value| canonical_value(&value);
        assert_eq!(written(0.5.into()).as_deref(), Ok("500m"));
        assert_eq!(written(2000.into()).as_deref(), Ok("2k"));
        assert_eq!(written(2e9.into()).as_deref(), Ok("2G"));
        assert_eq!(written(1e21.into()).as_deref(), Ok("1e21"));
        assert!(written(true.into()).is_err());
    }
}
