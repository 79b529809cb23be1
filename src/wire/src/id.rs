//! Ids of sites, access points, people, rooms and devices: the parts of a topic a person may choose.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};

/// An id that is safe in any topic and in Home Assistant: `[a-z0-9_-]{1,32}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Id(Box<str>);

/// A string that is no [`Id`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdError;

impl Id {
    /// Longest id, in bytes.
    pub const LENGTH_MAX: usize = 32;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Makes an id of a name a person gave: "Living room" becomes `living-room`. A name without a single
    /// usable character has none.
    pub fn from_name(name: &str) -> Option<Id> {
        let mut id = String::new();
        for character in name.chars().flat_map(char::to_lowercase) {
            match character {
                'a'..='z' | '0'..='9' | '_' => id.push(character),
                'ä' | 'à' | 'á' | 'â' | 'å' | 'ã' => id.push('a'),
                'é' | 'è' | 'ê' | 'ë' => id.push('e'),
                'í' | 'ì' | 'î' | 'ï' => id.push('i'),
                'ö' | 'ó' | 'ò' | 'ô' | 'ø' | 'õ' => id.push('o'),
                'ü' | 'ú' | 'ù' | 'û' => id.push('u'),
                'ñ' => id.push('n'),
                'ç' => id.push('c'),
                'ß' => id.push_str("ss"),
                _ if id.ends_with('-') || id.is_empty() => {}
                _ => id.push('-'),
            }
        }
        id.truncate(Id::LENGTH_MAX);
        let id = id.trim_end_matches('-');
        id.parse().ok()
    }
}

impl FromStr for Id {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Id, IdError> {
        let fits = (1..=Id::LENGTH_MAX).contains(&text.len());
        let clean = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        if fits && clean { Ok(Id(text.into())) } else { Err(IdError) }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Id {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id has 1 to 32 characters out of a-z, 0-9, '_' and '-'")
    }
}

impl std::error::Error for IdError {}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_hold_what_a_topic_can() {
        assert!("ap-kitchen_2".parse::<Id>().is_ok());
        for text in ["", "Kitchen", "a/b", "a+b", "#", "ä", &"a".repeat(33)] {
            assert_eq!(text.parse::<Id>(), Err(IdError), "{text}");
        }
    }

    #[test]
    fn names_become_ids() {
        for (name, id) in
            [("Living room", "living-room"), ("Küche (EG)", "kuche-eg"), ("  x  ", "x"), ("A&B", "a-b")]
        {
            assert_eq!(Id::from_name(name), Some(id.parse().unwrap()));
        }
        assert_eq!(Id::from_name("日本"), None);
        assert_eq!(Id::from_name(&"long name ".repeat(9)).map(|id| id.as_str().len() <= 32), Some(true));
    }
}
