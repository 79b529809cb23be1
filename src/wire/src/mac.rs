//! MAC addresses: read in any case, written lower case with colons.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An IEEE 802 MAC address: a station, or a BSSID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

/// A string that is no MAC address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MacError;

impl Mac {
    /// An address from its six octets.
    pub const fn new(octets: [u8; 6]) -> Mac {
        Mac(octets)
    }

    /// The six octets, first transmitted first.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Whether the address was made up locally, as the private addresses of phones are.
    pub const fn is_locally_administered(self) -> bool {
        self.0[0] & 0x02 != 0
    }

    /// Whether the address names one station: neither a group address nor all zero.
    pub fn is_station(self) -> bool {
        self.0[0] & 0x01 == 0 && self.0 != [0; 6]
    }
}

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Mac, MacError> {
        let bytes = text.as_bytes();
        if bytes.len() != 17 {
            return Err(MacError);
        }
        let mut octets = [0; 6];
        for (index, octet) in octets.iter_mut().enumerate() {
            let at = index * 3;
            if index > 0 && !matches!(bytes[at - 1], b':' | b'-') {
                return Err(MacError);
            }
            *octet = nibble(bytes[at])? << 4 | nibble(bytes[at + 1])?;
        }
        Ok(Mac(octets))
    }
}

fn nibble(digit: u8) -> Result<u8, MacError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(MacError),
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for MacError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a MAC address of the form aa:bb:cc:dd:ee:ff")
    }
}

impl std::error::Error for MacError {}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Mac, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Mac;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a MAC address of the form aa:bb:cc:dd:ee:ff")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Mac, E> {
                text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_case_and_either_separator_is_read_and_written_in_one_form() {
        for text in ["AA:bb:0C:dd:EE:ff", "aa-bb-0c-dd-ee-ff", "aa:bb:0c:dd:ee:ff"] {
            assert_eq!(text.parse::<Mac>().map(|mac| mac.to_string()), Ok("aa:bb:0c:dd:ee:ff".to_owned()));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "aa:bb:cc:dd:ee",
            "aa:bb:cc:dd:ee:fg",
            "aabb.ccdd.eeff.00",
            "aa:bb:cc:dd:ee:ff ",
            "é:bb:cc:dd:ee:f",
        ] {
            assert_eq!(text.parse::<Mac>(), Err(MacError), "{text}");
        }
    }

    #[test]
    fn group_and_zero_addresses_are_no_stations() {
        assert!(!Mac::new([0xff; 6]).is_station());
        assert!(!Mac::new([0; 6]).is_station());
        assert!(Mac::new([0x02, 0, 0, 0, 0, 1]).is_station());
    }
}
