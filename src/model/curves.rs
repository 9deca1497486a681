//! The NIST curves, as far as telling whether a public key is one: Go, and so a node, refuses a key whose point is not on its curve,
//! which is what a wrong character in a pasted key comes to.

use std::fmt;

/// A curve that the engine reads keys of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Curve {
    P224,
    P256,
    P384,
    P521,
}

impl Curve {
    /// By object identifier in dotted form; `None` for curves that Go does not know.
    pub fn from_oid(oid: &str) -> Option<Curve> {
        match oid {
            "1.3.132.0.33" => Some(Self::P224),
            "1.2.840.10045.3.1.7" => Some(Self::P256),
            "1.3.132.0.34" => Some(Self::P384),
            "1.3.132.0.35" => Some(Self::P521),
            _ => None,
        }
    }

    /// Whether these bytes are a point of the curve in the uncompressed form, the only one Go reads.
    pub fn has_point(self, point: &[u8]) -> bool {
        let (prime, b) = self.parameters();
        let size = prime.len().div_ceil(2);
        let Some((&4, coordinates)) = point.split_first() else { return false };
        let Some((x, y)) = coordinates.split_at_checked(size) else { return false };
        if y.len() != size {
            return false;
        }
        let (x, y) = (number(x.iter().copied()), number(y.iter().copied()));
        let (prime, b) = (from_hex(prime), from_hex(b));
        if !less(&x, &prime) || !less(&y, &prime) {
            return false;
        }
        // y² = x³ - 3x + b, without the subtraction
        let add = |left: &Number, right: &Number| add(left, right, &prime);
        let multiply = |left: &Number, right: &Number| multiply(left, right, &prime);
        let left = add(&multiply(&y, &y), &add(&x, &add(&x, &x)));
        let right = add(&multiply(&multiply(&x, &x), &x), &b);
        left == right
    }

    /// The prime and the coefficient b in hexadecimal (SEC 2, section 2; FIPS 186-4, appendix D).
    fn parameters(self) -> (&'static str, &'static str) {
        match self {
            Self::P224 => (
                "ffffffffffffffffffffffffffffffff000000000000000000000001",
                "b4050a850c04b3abf54132565044b0b7d7bfd8ba270b39432355ffb4",
            ),
            Self::P256 => (
                "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
                "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
            ),
            Self::P384 => (
                "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff",
                "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
            ),
            Self::P521 => (
                "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
                 ffffffffffffffffffffffffffffffff",
                "0051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf07\
                 3573df883d2c34f1ef451fd46b503f00",
            ),
        }
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P224 => "P-224",
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        })
    }
}

/// 576 bits, the least significant first: the sum of two numbers below the largest prime fits.
type Number = [u64; 9];

/// At most 72 bytes, the most significant first.
fn number(bytes: impl DoubleEndedIterator<Item = u8>) -> Number {
    let mut number = Number::default();
    for (position, byte) in bytes.rev().enumerate() {
        if let Some(limb) = number.get_mut(position / 8) {
            *limb |= u64::from(byte) << (position % 8 * 8);
        }
    }
    number
}

fn from_hex(text: &str) -> Number {
    let digits: Vec<u8> = text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    number(digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)))
}

fn less(left: &Number, right: &Number) -> bool {
    left.iter().rev().lt(right.iter().rev())
}

fn add(left: &Number, right: &Number, prime: &Number) -> Number {
    let mut sum = Number::default();
    let mut carry = 0;
    for ((limb, left), right) in sum.iter_mut().zip(left).zip(right) {
        let total = u128::from(*left) + u128::from(*right) + carry;
        *limb = total as u64;
        carry = total >> 64;
    }
    if less(&sum, prime) { sum } else { subtract(&sum, prime) }
}

fn subtract(left: &Number, right: &Number) -> Number {
    let mut difference = Number::default();
    let mut borrow = 0;
    for ((limb, left), right) in difference.iter_mut().zip(left).zip(right) {
        let (once, first) = left.overflowing_sub(*right);
        let (twice, second) = once.overflowing_sub(borrow);
        *limb = twice;
        borrow = u64::from(first || second);
    }
    difference
}

/// By doubling and adding: slow, constant in size, and a few microseconds are nothing here.
fn multiply(left: &Number, right: &Number, prime: &Number) -> Number {
    let mut product = Number::default();
    for limb in left.iter().rev() {
        for bit in (0..64).rev() {
            product = add(&product, &product, prime);
            if limb >> bit & 1 == 1 {
                product = add(&product, right, prime);
            }
        }
    }
    product
}
