//! What kubectl makes of a scalar: YAML 1.1 as sigs.k8s.io/yaml resolves it on its way to JSON, which differs from YAML 1.2 in `on`,
//! `014` and others.

/// A resolved scalar, as far as JSON can tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    /// Above `i64::MAX`.
    Unsigned(u64),
    Float(f64),
    /// The text as it stands.
    Text,
}

/// What a scalar without quotes and without a tag means.
pub(super) fn plain(text: &str) -> Scalar {
    let Some(&first) = text.as_bytes().first() else { return Scalar::Null };
    match first {
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => word(text),
        b'.' => match text {
            ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
            ".inf" | ".Inf" | ".INF" => Scalar::Float(f64::INFINITY),
            _ => float(text).unwrap_or(Scalar::Text),
        },
        b'+' | b'-' => match text {
            "+.inf" | "+.Inf" | "+.INF" => Scalar::Float(f64::INFINITY),
            "-.inf" | "-.Inf" | "-.INF" => Scalar::Float(f64::NEG_INFINITY),
            _ => number(text),
        },
        b'0'..=b'9' => number(text),
        _ => Scalar::Text,
    }
}

/// Whether YAML 1.1 reads a boolean where YAML 1.2, and most people, read a word.
pub(super) fn is_surprising_bool(text: &str) -> bool {
    text.len() <= 3
        && matches!(
            text,
            "y" | "Y"
                | "yes"
                | "Yes"
                | "YES"
                | "on"
                | "On"
                | "ON"
                | "n"
                | "N"
                | "no"
                | "No"
                | "NO"
                | "off"
                | "Off"
                | "OFF"
        )
}

fn word(text: &str) -> Scalar {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Scalar::Bool(false),
        "~" | "null" | "Null" | "NULL" => Scalar::Null,
        _ => Scalar::Text,
    }
}

fn number(text: &str) -> Scalar {
    // Most of what begins with a digit is a version, a digest or an address: nothing to strip, nothing to parse.
    let numeric = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'+' | b'-');
    if !text.bytes().all(numeric) {
        return Scalar::Text;
    }
    let stripped;
    let digits = if text.contains('_') {
        stripped = text.replace('_', "");
        stripped.as_str()
    } else {
        text
    };
    integer(digits).or_else(|| float(digits)).unwrap_or(Scalar::Text)
}

/// Go's `strconv.ParseInt` and `ParseUint` with base 0, less the underscores.
fn integer(text: &str) -> Option<Scalar> {
    let (negative, signed, rest) = match text.as_bytes().first()? {
        b'-' => (true, true, text.get(1..)?),
        b'+' => (false, true, text.get(1..)?),
        _ => (false, false, text),
    };
    let (base, digits) = match rest.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, rest.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, rest.get(2..)?),
        [b'0', b'b' | b'B', ..] => (2, rest.get(2..)?),
        [b'0', _, ..] => (8, rest.get(1..)?),
        _ => (10, rest),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| char::from(byte).is_digit(base)) {
        return None;
    }
    let value = u64::from_str_radix(digits, base).ok()?;
    match i64::try_from(value) {
        Ok(value) => Some(Scalar::Int(if negative { -value } else { value })),
        Err(_) if negative && value == i64::MIN.unsigned_abs() => Some(Scalar::Int(i64::MIN)),
        Err(_) if signed => None,
        Err(_) => Some(Scalar::Unsigned(value)),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, and not too large.
fn float(text: &str) -> Option<Scalar> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let well_formed = digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent));
    if !well_formed {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    value.is_finite().then_some(Scalar::Float(value))
}

/// A number as Go writes it in JSON and kubectl reads it again: a whole one is an integer.
pub(super) fn whole(value: f64) -> Option<i64> {
    if value.fract() != 0.0 {
        return None;
    }
    if value.abs() < 9e15 {
        return Some(value as i64);
    }
    // Go writes the shortest digits that mean this float, then zeros.
    format!("{value}").parse().ok()
}

/// A float as a key: Go's `FormatFloat(value, 'g', -1, 32)`.
pub(super) fn float_key(value: f64) -> String {
    if value.is_nan() {
        return ".nan".into();
    }
    let value = value as f32;
    if value.is_infinite() {
        return if value > 0.0 { ".inf".into() } else { "-.inf".into() };
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_yaml_1_1() {
        for (text, expected) in [
            ("", Scalar::Null),
            ("~", Scalar::Null),
            ("Null", Scalar::Null),
            ("nULL", Scalar::Text),
            ("y", Scalar::Bool(true)),
            ("Off", Scalar::Bool(false)),
            ("oN", Scalar::Text),
            ("0", Scalar::Int(0)),
            ("-0", Scalar::Int(0)),
            ("014", Scalar::Int(12)),
            ("0o14", Scalar::Int(12)),
            ("08", Scalar::Float(8.0)),
            ("0x1F", Scalar::Int(31)),
            ("-0b101", Scalar::Int(-5)),
            ("1_000", Scalar::Int(1000)),
            ("+1", Scalar::Int(1)),
            ("+-1", Scalar::Text),
            ("9223372036854775807", Scalar::Int(i64::MAX)),
            ("9223372036854775808", Scalar::Unsigned(1 << 63)),
            ("-9223372036854775808", Scalar::Int(i64::MIN)),
            ("+9223372036854775808", Scalar::Float(9223372036854775808.0)),
            ("99999999999999999999", Scalar::Float(1e20)),
            ("1.", Scalar::Float(1.0)),
            (".5", Scalar::Float(0.5)),
            (".5_0", Scalar::Text),
            ("1_0.5", Scalar::Float(10.5)),
            ("1e3", Scalar::Float(1000.0)),
            ("1e", Scalar::Text),
            ("1e400", Scalar::Text),
            (".", Scalar::Text),
            ("-", Scalar::Text),
            ("0x", Scalar::Text),
            ("1:30", Scalar::Text),
            ("2001-01-01", Scalar::Text),
            ("1.2.3", Scalar::Text),
            ("-.INF", Scalar::Float(f64::NEG_INFINITY)),
            ("infinity", Scalar::Text),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
    }

    #[test]
    fn float_keys_are_go_s() {
        for (value, expected) in [
            (1.5, "1.5"),
            (4.20, "4.2"),
            (1e6, "1e+06"),
            (1e20, "1e+20"),
            (1e21, "1e+21"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (f64::INFINITY, ".inf"),
        ] {
            assert_eq!(float_key(value), expected);
        }
    }
}
