//! The key of uploaded certificates.

use std::fmt;

use zeroize::Zeroizing;

/// The key that uploaded certificates are encrypted with: `InitConfiguration.certificateKey`, or one that was made up. It is in
/// the join command of control planes, and has no `Debug` that would show it.
#[derive(Clone)]
pub struct CertificateKey(Zeroizing<[u8; Self::SIZE]>);

impl CertificateKey {
    /// Bytes of a key.
    pub const SIZE: usize = 32;

    /// The key of these bytes.
    #[must_use]
    pub fn new(bytes: Zeroizing<[u8; Self::SIZE]>) -> Self {
        Self(bytes)
    }

    /// The key that a text says: 64 hexadecimal digits.
    ///
    /// # Errors
    /// It is none.
    pub fn from_hex(text: &str) -> Result<Self, String> {
        let mut key = Zeroizing::new([0; Self::SIZE]);
        if text.len() != 2 * Self::SIZE || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("a certificate key has 64 hexadecimal digits".to_owned());
        }
        for (byte, pair) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
            *byte = digits.ok_or("a certificate key has 64 hexadecimal digits")?;
        }
        Ok(Self(key))
    }

    /// The key as the join command has it.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        // As long as it will be from the start: growing would leave copies in memory.
        let mut text = Zeroizing::new(String::with_capacity(2 * Self::SIZE));
        for byte in self.0.iter() {
            for digit in [byte >> 4, byte & 0xf] {
                text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        }
        text
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl fmt::Debug for CertificateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_shown_and_one_that_is_none_is_refused() {
        let digits = "0123456789abcdef".repeat(4);
        let key = CertificateKey::from_hex(&digits).unwrap();
        assert_eq!(key.to_hex().as_str(), digits);
        assert_eq!(format!("{key:?}"), "CertificateKey");
        for text in ["", "abcd", &"g".repeat(64), &"+1".repeat(32), &"é".repeat(32)] {
            assert!(CertificateKey::from_hex(text).is_err(), "{text}");
        }
    }
}
